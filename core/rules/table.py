"""The table of rules and the record that a rule is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator

from prunescope.core.labels import Dims, LabelSpace


@dataclass
class Call:
    """One operation below autograd, as it ran."""

    space: LabelSpace
    function: torch._ops.OpOverload
    positional: tuple[Any, ...]
    keywords: dict[str, Any]
    outputs: tuple[Tensor, ...]  # the tensors of its result, in order
    tensors: Sequence[Tensor]  # every tensor among the arguments, in order, those in lists included
    labels: Callable[[Tensor], Dims]  # the dimension labels of a tensor that it read
    role: Callable[[Tensor, int, str], None]  # say that a weight's dimension is the layer's "in" or "out" side
    _arguments: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """Every argument by the name that the operation's schema gives it, defaults included."""
        # a cached property would take a lock at every look
        if not self._arguments:
            names, defaults = _schema(self.function)
            self._arguments.update(defaults)
            self._arguments.update(zip(names, self.positional, strict=False))
            self._arguments.update(self.keywords)
        return self._arguments

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


@cache
def _schema(function: torch._ops.OpOverload) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of an operation's arguments, and the defaults of those that have one."""
    arguments = function._schema.arguments
    names = tuple(argument.name for argument in arguments)
    return names, {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}


Rule: TypeAlias = Callable[[Call], Sequence[Dims]]

RULES: dict[str, Rule] = {}


def register(*names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of the operations named, e.g. `@register("aten.relu", "mylib.my_op")`.

    The rule gets the `Call` and returns the dimension labels of each output tensor. It may join, lock and split labels
    in `call.space`.
    """

    def add(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


def rule_for(function: torch._ops.OpOverload) -> Rule | None:
    """The rule of an operation: by its name, by the name of its out-of-place form, or as a point-wise operation."""
    name = operation_name(function)
    if isinstance(function, HigherOrderOperator):
        return RULES.get(name)
    if _is_inplace_view(function):
        # its operand has its new shape already, so that the rule of the out-of-place form would misread it
        return RULES.get(name)
    return None if _writes_out(function) else _rule_named(name)


@cache
def _is_inplace_view(function: torch._ops.OpOverload) -> bool:
    return torch.Tag.inplace_view in function.tags


@cache
def _writes_out(function: torch._ops.OpOverload) -> bool:
    return any(argument.is_out for argument in function._schema.arguments)


@cache
def written_arguments(function: torch._ops.OpOverload) -> tuple[tuple[int, str], ...]:
    """Position and name of the arguments that an operation writes into."""
    if operation_name(function) in _MOVING:
        return (3, "running_mean"), (4, "running_var")
    if isinstance(function, HigherOrderOperator) or not function._schema.is_mutable:
        return ()
    arguments = enumerate(function._schema.arguments)
    return tuple((n, each.name) for n, each in arguments if each.alias_info is not None and each.alias_info.is_write)


# these move running statistics, which their schema does not say
_MOVING = frozenset(("aten.native_batch_norm", "aten.cudnn_batch_norm", "aten.miopen_batch_norm"))


@cache
def _is_pointwise(name: str) -> bool:
    """Whether torch tags any form of the operation so; the forms that work in place often lack the tag."""
    namespace, _, packet = name.partition(".")
    found = getattr(getattr(torch.ops, namespace), packet, None)
    overloads = found.overloads() if found else ()
    return any(torch.Tag.pointwise in getattr(found, overload).tags for overload in overloads)


def _rule_named(name: str) -> Rule | None:
    plain = name.removesuffix("_")
    rule = RULES.get(name) or RULES.get(plain)
    if rule is not None:
        return rule
    if _is_pointwise(name) or _is_pointwise(plain):
        return RULES["pointwise"]
    of_each = plain.replace("._foreach_", ".")
    return RULES["pointwise of each"] if of_each != plain and _is_pointwise(of_each) else None


@cache
def operation_name(function: torch._ops.OpOverload) -> str:
    """Namespace and name without the overload, e.g. `aten.add`."""
    return str(getattr(function, "overloadpacket", function))


def tensors_in(values: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(tensors_in(value))
    return found


@dataclass(frozen=True, slots=True)
class Operator:
    """An operation below autograd, as a run looks it up once."""

    function: torch._ops.OpOverload  # kept, so that its id is its own
    name: str
    rule: Rule | None
    writes: tuple[tuple[int, str], ...]  # position and name of the arguments that it writes into

    @classmethod
    def of(cls, function: torch._ops.OpOverload) -> Operator:
        return cls(function, operation_name(function), rule_for(function), written_arguments(function))

    def written(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        return tensors_in([args[n] if n < len(args) else kwargs.get(name) for n, name in self.writes])
