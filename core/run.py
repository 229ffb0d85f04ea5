"""One forward pass, watched: operations, layers, and the labels that flow with the values."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prunescope.core.accepted import nested
from prunescope.core.attributes import remembered_attributes
from prunescope.core.expressions import Expression
from prunescope.core.graph import Operation
from prunescope.core.held_tensors import (
    asks_for_its_mode,
    moves_tensors_in_training,
    registered_tensors,
    tensor_attributes,
)
from prunescope.core.inputs import copied, plain_output
from prunescope.core.labels import BY_POSITION, CONSTANT, ONE_INDEX, REPEATED, Dims, Fixed, LabelSpace, Vector
from prunescope.core.layer_sizes import resolve_layer_sizes, settle_supposed
from prunescope.core.open_functions import functions_in_the_open, without_fused_paths
from prunescope.core.plain_numbers import PlainNumbers
from prunescope.core.preserve import Watch, Written
from prunescope.core.rules import Call
from prunescope.core.rules.table import Operator, operation_name, tensors_in
from prunescope.core.shapes import reads_values, without_values
from prunescope.core.size_calls import SizeCalls
from prunescope.core.sizes import SizeInt, heard_by
from prunescope.core.sources import source_line
from prunescope.core.tape import Operands, Step, Tape, Value, number_of
from prunescope.core.zeros import Zeros

INPUT = Fixed("it meets the model's input")
SPARSE = Fixed("it meets a sparse tensor, whose entries are edges of a graph, not weights")
NUMBERS = Fixed("it holds integers: numbers of positions, not weights")
OUTPUT = "it is the model's output"


class ParameterDims(NamedTuple):
    """A parameter or buffer that the run read."""

    name: str  # full name; the first one of a tied parameter
    tensor: Tensor
    dims: Dims  # its labels
    is_buffer: bool  # or a plain attribute, which is cut as a buffer is


@dataclass(slots=True)
class LayerNotes:
    """A layer while the model still runs."""

    name: str
    module: str
    kind: str
    is_module: bool
    source: str
    parameters: dict[str, None] = field(default_factory=dict)
    input_shapes: list[tuple[int, ...]] = field(default_factory=list)
    input_dims: list[Dims] = field(default_factory=list)
    output_shape: tuple[int, ...] = ()
    output_dims: Dims = ()


class NeedsValues(Exception):
    """The model decides by values that were left out; run it again with values."""


class Run(Watch):
    """Watches one or more forward passes and writes down operations, layers and labels."""

    def __init__(self, model: nn.Module, with_values: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.with_values = with_values
        self.zeros = Zeros()
        self.space = LabelSpace()
        self.tape = Tape()
        self.operations: list[Operation] = []
        self.reference_operations = 0
        self.layers: dict[str, LayerNotes] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.parameters: dict[str, ParameterDims] = {}
        self.notes: list[str] = []
        self.output_shapes: tuple[tuple[int, ...], ...] = ()
        self.roles: list[tuple[Vector, str]] = []
        self.modules = dict(model.named_modules())
        self.paths = {module: name for name, module in self.modules.items()}
        self.leaves = {module for module in self.paths if all(child is None for child in module._modules.values())}
        self.stack: list[tuple[nn.Module, str, str]] = []  # module, its path, the layer's name or "" for a container
        self.calls: dict[str, int] = {}
        self.thread = get_ident()  # that runs the model
        self.values: dict[int, tuple[weakref.ref[Tensor], Value]] = {}  # by id, which another tensor may take over
        self.named_parameters = registered_tensors(self.modules, "_parameters")
        # of several names for one tensor, the first
        self.named_buffers = [*registered_tensors(self.modules, "_buffers"), *tensor_attributes(self.modules)]
        self.known = {id(tensor): (name, True) for name, tensor in reversed(self.named_buffers)}
        self.known |= {id(tensor): (name, False) for name, tensor in reversed(self.named_parameters)}
        self.written = Written(())
        self.writes_parameters = False
        self.dims_by_id: dict[int, Dims] = {}
        self.operators: dict[int, Operator] = {}  # by id of the function

    @property
    def path(self) -> str:
        return self.stack[-1][1] if self.stack else ""

    def unreached(self) -> list[str]:
        """Names of the parameters that no operation has read."""
        return [name for name, p in self.named_parameters if id(p) not in self.dims_by_id and p.numel()]

    def trains_by_itself(self) -> bool:
        """Whether code of the model may read or move tensors in training mode alone."""
        unread = [
            name
            for name, buffer in self.named_buffers
            if id(buffer) not in self.dims_by_id and buffer.is_floating_point() and buffer.numel() > 1
        ]
        holders = [self.modules[name.rpartition(".")[0]] for name in unread]
        return any(map(asks_for_its_mode, holders)) or any(map(moves_tensors_in_training, self.paths))

    def execute(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        """One forward pass; what it writes into is left as it was. Raises whatever the model raises."""
        args, kwargs = call = copied(call)
        self.written = Written([tensor for _, tensor in (*self.named_parameters, *self.named_buffers)])
        self.calls.clear()
        self.stack.clear()
        self._enter_inputs(call)
        try:
            with without_fused_paths(self.paths), self._module_hooks(), self._remembering_sizes(), self:
                result = self.model(*args, **kwargs)
                settle_supposed(self.space)
                resolve_layer_sizes(self.space, self.modules, lambda tensor: id(tensor) in self.dims_by_id)
        finally:
            self.writes_parameters |= self.written.put_back()
        # what no call of torch's own functions led to has no bounds that could be read
        for taken in self.space.slices:
            self.space.lock(taken.labels, BY_POSITION)
        for labels in self.space.repeats:
            self.space.lock(labels, REPEATED)
        self.space.slices.clear()
        self.space.repeats.clear()
        self._leave_outputs(result)

    def _enter_inputs(self, call: Any) -> None:
        for leaf in tree_leaves(call):
            if isinstance(leaf, Tensor):
                if leaf.is_nested:
                    raise nested("the example inputs")
                dims = tuple(INPUT for _ in leaf.shape)
                self._remember(leaf, Value(dims, tuple(leaf.shape), "input", is_weight=False, is_hollow=False))
                if "input" not in self.layers:
                    self.layers["input"] = LayerNotes(
                        "input", "", "input", False, "", output_shape=tuple(leaf.shape), output_dims=dims
                    )

    def _leave_outputs(self, result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(plain_output(result)) if isinstance(leaf, Tensor)]
        if not tensors:
            raise TypeError(f"the model's output holds no tensor: {type(result).__name__}")
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        self.output_shapes = self.output_shapes or shapes
        sink = self.layers.setdefault("output", LayerNotes("output", "", "output", False, ""))
        sink.output_shape = sink.output_shape or shapes[0]
        for tensor in tensors:
            value = self._value(tensor)
            self.tape.results.append(value)
            sink.input_dims.append(value.dims)
            sink.input_shapes.append(tuple(tensor.shape))
            for dim in value.dims:
                self.space.lock(dim, OUTPUT)
            if value.producer:
                self.edges[value.producer, "output"] = None

    @contextmanager
    def _remembering_sizes(self) -> Iterator[None]:
        """Sizes in the model's code remember where they came from."""
        with ExitStack() as stack:
            numbers = PlainNumbers(self._attribute, self._has_values, Run.execute.__code__)
            calls = SizeCalls(self.space, self._dims, self._relabel, self._attended, numbers)
            stack.enter_context(remembered_attributes(self.modules))
            stack.enter_context(functions_in_the_open())
            stack.callback(calls.memoised.forget_all)
            calls.memoised.forget_methods(set(map(type, self.modules.values())))
            stack.enter_context(heard_by(calls))
            stack.enter_context(calls)
            yield

    def _relabel(self, tensor: Tensor, dims: Dims) -> None:
        self._value(tensor).dims = dims

    def _attribute(self, value: int) -> Expression | None:
        """The size of this value that one of the running modules holds, the innermost first."""
        held = (size for module, _, _ in reversed(self.stack) for size in vars(module).values())
        return next((size.expression for size in held if type(size) is SizeInt and int.__eq__(size, value)), None)

    def _has_values(self, tensor: Tensor) -> bool:
        return not (tensor.is_meta or self._value(tensor).is_hollow)

    def _attended(self, query: Tensor, key: Tensor, first: int) -> None:
        # scaling a query that is its own key would count twice: no step of it takes the scale up
        end = first if key is query else len(self.operations)
        self.tape.attentions.append((self._value(query), range(first, end)))

    @contextmanager
    def _module_hooks(self) -> Iterator[None]:
        """Know which module is running, without a hook on the model itself.

        Such hooks hear every thread, and another one may be running a model of its own.
        """
        self.thread = get_ident()
        handles = [
            nn.modules.module.register_module_forward_pre_hook(self._enter_module),
            nn.modules.module.register_module_forward_hook(self._leave_module),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        if get_ident() != self.thread:
            return
        path = self.paths.get(module)
        if path is None:
            parent = self.stack[-1] if self.stack else (module, "", "")
            self.stack.append((module, parent[1], parent[2]))
            return
        inside = self.stack[-1][2] if self.stack else ""
        name = inside or (self._call_name(path or type(module).__name__) if module in self.leaves else "")
        self.stack.append((module, path, name))

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if get_ident() == self.thread:
            self.stack.pop()

    def _call_name(self, name: str) -> str:
        count = self.calls[name] = self.calls.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operator = self._operator(function)
        read = Operands.of(args, kwargs, self._value)
        if operator.rule is None and read.tensors and isinstance(function, torch._ops.OpOverload):
            # inference mode hands over operations that are otherwise taken apart on the way here
            with self:
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        hollow = read.is_hollow
        if hollow and reads_values(operator.name, read):
            raise NeedsValues(operator.name)
        result = None
        if not self.with_values:
            result = without_values(operator.name, args, kwargs, hollow and read.values[0].is_hollow, self.zeros)
            hollow = hollow or result is not None
        if result is None:
            if operator.writes:
                written = operator.written(args, kwargs)
                self.written.about_to(written)
                self.zeros.parted(written)
            result = function(*args, **kwargs)
        outputs = (result,) if isinstance(result, Tensor) else tuple(tensors_in((result,)))
        is_weight = bool(read.values) and read.is_weight
        made_of = tuple({name: None for value in read.values for name in value.made_of}) if is_weight else ()
        layer = self._layer(operator.name, read) if read.is_produced else None
        producer = layer.name if layer else None
        self._note(operator.name, layer)
        call = Call(self.space, function, args, kwargs, outputs, read.tensors, self._dims, self._role)
        shapes = self._shapes_of(outputs)
        made = [
            Value(labels, shape, producer, is_weight, hollow, made_of)
            for labels, shape in zip(self._ruled(operator, call, shapes), shapes, strict=True)
        ]
        self.tape.steps.append(Step(operator.name, function, read.arguments, tuple(read.noted), tuple(made)))
        for tensor, value in zip(outputs, made, strict=True):
            self._remember(tensor, value)
            if value.shape == (1,) and all(value.is_number for value in read.values):
                value.number = number_of(tensor)
        if layer and made:
            layer.output_shape, layer.output_dims = made[0].shape, made[0].dims
        return result

    def _shapes_of(self, outputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        if any(output.is_nested for output in outputs):
            raise nested(self.operations[-1].source or self.path)
        return [tuple(output.shape) for output in outputs]

    def _operator(self, function: Any) -> Operator:
        found = self.operators.get(id(function))
        if found is None:
            found = self.operators[id(function)] = Operator.of(function)
        return found

    def _note(self, name: str, layer: LayerNotes | None) -> None:
        self.space.operation = len(self.operations)
        source = source_line(sys._getframe(2), Run.execute.__code__)
        if layer and not layer.source:
            layer.source = source
        self.operations.append(Operation(name, layer.name if layer else "", source))

    def _layer(self, operation: str, read: Operands) -> LayerNotes:
        """The layer that the running operation belongs to, with the edges into it."""
        module, path, name = self.stack[-1] if self.stack else (self.model, "", "")
        is_module = bool(name)
        kind = type(module).__name__ if is_module else operation.split(".")[-1].strip("_").removeprefix("native_")
        if not is_module:
            name = self._call_name(f"{path}.{kind}" if path else kind)
        notes = self.layers.get(name)
        if notes is None:
            notes = self.layers[name] = LayerNotes(name, path, kind, is_module, "")
        for value in read.values:
            if value.made_of:
                notes.parameters.update(dict.fromkeys(value.made_of))
            if value.producer and value.producer != name:
                if (value.producer, name) not in self.edges:
                    notes.input_shapes.append(value.shape)
                    notes.input_dims.append(value.dims)
                self.edges[value.producer, name] = None
        return notes

    def _ruled(self, operator: Operator, call: Call, shapes: Sequence[tuple[int, ...]]) -> list[Dims]:
        """The labels of the outputs, as the rule says."""
        if operator.rule is None:
            return self._unknown(call)
        return [
            tuple([ONE_INDEX if size == 1 else dim for dim, size in zip(dims, shape, strict=True)])
            if 1 in shape or len(dims) != len(shape)
            else tuple(dims)
            for dims, shape in zip(operator.rule(call), shapes, strict=True)
        ]

    def _unknown(self, call: Call) -> list[Dims]:
        """No rule: nothing is guessed. What it reads is locked, what it writes has no units."""
        name = operation_name(call.function)
        reason = (
            f"no rule says how {name} couples its dimensions (register one with "
            f'prunescope.core.rules.register("{name}"))'
        )
        for tensor in call.tensors:
            for dim in call.labels(tensor):
                self.space.lock(dim, reason)
        fixed = Fixed(reason if call.tensors else CONSTANT.reason)
        return [tuple(fixed for _ in tensor.shape) for tensor in call.outputs]

    def _role(self, tensor: Tensor, dim: int, side: str) -> None:
        value = self._value(tensor)
        labels = value.dims[dim]
        if value.is_weight and not isinstance(labels, Fixed):
            self.roles.append((labels, side))

    def _dims(self, tensor: Tensor) -> Dims:
        return self._value(tensor).dims

    def _value(self, tensor: Tensor) -> Value:
        found = self.values.get(id(tensor))
        if found is not None and found[0]() is tensor:
            return found[1]
        value = self._new_value(tensor)
        self._remember(tensor, value)
        return value

    def _remember(self, tensor: Tensor, value: Value) -> None:
        self.values[id(tensor)] = (weakref.ref(tensor), value)

    def _new_value(self, tensor: Tensor) -> Value:
        """A tensor seen for the first time: a parameter, a buffer, or a constant that the code made."""
        if id(tensor) not in self.known:
            constant: Dims = tuple(CONSTANT for _ in tensor.shape)
            number = number_of(tensor)
            return Value(constant, tuple(tensor.shape), None, is_weight=True, is_hollow=False, number=number)
        name, is_buffer = self.known[id(tensor)]
        if id(tensor) not in self.dims_by_id:
            dims = self._new_dims(tensor)
            self.dims_by_id[id(tensor)] = dims
            self.parameters[name] = ParameterDims(name, tensor, dims, is_buffer)
        shape = tuple(tensor.shape)
        value = Value(self.dims_by_id[id(tensor)], shape, None, is_weight=True, is_hollow=False, made_of=(name,))
        if not is_buffer:
            self.tape.leaves[value] = name
        return value

    def _new_dims(self, tensor: Tensor) -> Dims:
        if not tensor.is_floating_point() and not tensor.is_complex():
            return tuple(NUMBERS for _ in tensor.shape)
        if tensor.layout is not torch.strided:
            return tuple(SPARSE for _ in tensor.shape)
        return tuple(self.space.new(size) if size > 1 else ONE_INDEX for size in tensor.shape)
