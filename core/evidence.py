"""What data says of weights: gradients, squared gradients, norms of what comes in over a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from prunescope.core.errors import BadInput
from prunescope.core.graph import DependencyGraph
from prunescope.core.inputs import as_call
from prunescope.core.measure import products_visible
from prunescope.core.modes import evaluating
from prunescope.core.preserve import Watch, preserved, uncompiled

Loss: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""`loss(model, batch)`: a scalar, or one number for each example of the batch."""

Evidence: TypeAlias = Mapping[str, Tensor]  # parameter -> a tensor of its shape; without those that nothing is known of

GRADIENTS = "gradients"
SQUARED_GRADIENTS = "squared gradients"
INPUT_NORMS = "input norms"


def gathered(
    graph: DependencyGraph,
    kind: str | None,
    batches: Iterable[Any] | None,
    loss: Loss | None,
    *,
    asked: str,
) -> Evidence:
    """What the batches say of every parameter that the traced run read. The model comes back as it was found.

    Args:
        graph: A traced model. It is run in eval mode.
        kind: `GRADIENTS`: the mean over the batches. `SQUARED_GRADIENTS`: the mean of squares over all examples where
            the loss gives a number for each, else over the batches. `INPUT_NORMS`: for each weight of a matrix product
            or a convolution the norm, over all batches, of what it multiplies. None: nothing is needed.
        batches: What `loss` takes.
        loss: Not needed for `INPUT_NORMS`, where a batch may be example inputs instead.
        asked: What it is for, in the words of an error.

    Raises:
        BadInput: batches or loss are missing, there is no batch, one does not fit the model, or a loss is no finite
            number.
    """
    if kind is None:
        return {}
    if batches is None or (loss is None and kind != INPUT_NORMS):
        raise BadInput(
            asked=asked,
            found=f"this needs {kind}, and there are no {'batches' if batches is None else 'loss'}",
            where="arguments batches and loss",
            what_to_do="give batches of your data and loss(model, batch), for example "
            "lambda model, batch: cross_entropy(model(batch[0]), batch[1])",
        )
    model = graph.model
    tensors = {
        name: p.tensor
        for name, p in graph.record.parameters.items()
        if not p.is_buffer and (p.tensor.is_floating_point() or p.tensor.is_complex())
    }
    with preserved(model, graph.record.writes_parameters), evaluating(model), uncompiled():
        return _KINDS[kind](model, tensors, batches, loss or _only_run, asked)


def _mean_gradients(
    model: nn.Module, tensors: Mapping[str, Tensor], batches: Iterable[Any], loss: Loss, asked: str
) -> Evidence:
    values = (value.mean() for value in _losses(model, batches, loss, asked))
    return _mean_over(values, tensors, lambda gradient: gradient)


def _mean_squared_gradients(
    model: nn.Module, tensors: Mapping[str, Tensor], batches: Iterable[Any], loss: Loss, asked: str
) -> Evidence:
    values = (value for each in _losses(model, batches, loss, asked) for value in each.reshape(-1))
    return _mean_over(values, tensors, lambda gradient: gradient.abs().square())


def _mean_over(values: Iterable[Tensor], tensors: Mapping[str, Tensor], of: Callable[[Tensor], Tensor]) -> Evidence:
    """The mean of what the gradients of these values give."""
    total: dict[str, Tensor] = {}
    count = 0
    with _all_trainable(tensors.values()):
        for value in values:
            _add(total, tensors, value, of)
            count += 1
    return {name: added / count for name, added in total.items()}


def _input_norms(
    model: nn.Module, tensors: Mapping[str, Tensor], batches: Iterable[Any], loss: Loss, asked: str
) -> Evidence:
    seen = _InputSquares(tensors)
    with torch.no_grad(), products_visible(model), seen:
        list(_losses(model, batches, loss, asked))
    return {name: squares.sqrt() for name, squares in seen.squares.items()}


_KINDS = MappingProxyType(
    {GRADIENTS: _mean_gradients, SQUARED_GRADIENTS: _mean_squared_gradients, INPUT_NORMS: _input_norms}
)


def _only_run(model: nn.Module, batch: Any) -> Tensor:
    args, kwargs = as_call(batch)
    model(*args, **kwargs)
    return torch.zeros(())


def _losses(model: nn.Module, batches: Iterable[Any], loss: Loss, asked: str) -> Iterator[Tensor]:
    number = 0
    for number, batch in enumerate(batches, start=1):
        try:
            value = loss(model, batch)
        except Exception as error:
            raise BadInput(
                asked=asked,
                found=f"loss raised {type(error).__name__}: {error}",
                where=f"loss(model, batch) with batch {number}",
                what_to_do="give batches that the model takes; try loss(model, batch) by itself",
            ) from error
        yield _checked(value, number, asked)
    if not number:
        raise BadInput(
            asked=asked,
            found="there is no batch",
            where="argument batches",
            what_to_do="give at least one batch; a generator can be read only once, so give a list or a data loader",
        )


def _checked(value: Any, number: int, asked: str) -> Tensor:
    found = f"loss returned {type(value).__name__}"
    if isinstance(value, Tensor) and value.is_floating_point():
        if bool(torch.isfinite(value).all()):
            return value
        found = f"the loss is {value.detach().flatten()[:3].tolist()}"
    raise BadInput(
        asked=asked,
        found=found,
        where=f"loss(model, batch) with batch {number}",
        what_to_do="let loss return a finite floating-point tensor: a scalar, or one number for each example",
    )


@contextmanager
def _all_trainable(tensors: Iterable[Tensor]) -> Iterator[None]:
    frozen = [tensor for tensor in tensors if tensor.is_leaf and not tensor.requires_grad]
    try:
        for tensor in frozen:
            tensor.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for tensor in frozen:
            tensor.requires_grad_(False)


def _add(
    total: dict[str, Tensor], tensors: Mapping[str, Tensor], value: Tensor, of: Callable[[Tensor], Tensor]
) -> None:
    # not backward(): it would write into the user's gradients
    gradients = torch.autograd.grad(value, list(tensors.values()), retain_graph=True, allow_unused=True)
    known: Iterable[tuple[str, Tensor | None]] = zip(tensors, gradients, strict=True)
    for name, gradient in known:
        if gradient is None:
            continue
        added = of(gradient if gradient.is_complex() else gradient.float())
        total[name] = total[name] + added if name in total else added


class _InputSquares(Watch):
    """Adds up, for every weight of a product or a convolution, the squares of what it multiplies."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.squares: dict[str, Tensor] = {}
        # on the meta device nothing has a place in memory
        self._owner = {t.untyped_storage().data_ptr(): (name, t) for name, t in tensors.items() if not t.is_meta}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._see_product(args[0], args[1])
        elif name in ("addmm", "baddbmm"):
            self._see_product(args[1], args[2])
        elif name == "convolution":
            self._see_convolution(args[0], args[1], transposed=args[6], groups=args[8])
        return func(*args, **(kwargs or {}))

    def _see_product(self, left: Tensor, right: Tensor) -> None:
        """(..., m, k) times (..., k, n)"""
        self._note(right, lambda: _squares(left).sum(-2).unsqueeze(-1))
        self._note(left, lambda: _squares(right).sum(-1).unsqueeze(-2))

    def _see_convolution(self, x: Tensor, weight: Tensor, transposed: bool, groups: int) -> None:
        def squares() -> Tensor:
            channels = _squares(x).transpose(0, 1).flatten(1).sum(1)
            if not transposed:
                channels = channels.view(groups, -1).repeat_interleave(len(weight) // groups, dim=0).flatten()
            kernel = [1] * (weight.dim() - 2)
            return channels.view(len(weight), -1, *kernel)

        self._note(weight, squares)

    def _note(self, operand: Tensor, squares: Callable[[], Tensor]) -> None:
        """Where an operand is a parameter, or any view of one, add to the weights that it shows."""
        name, tensor = self._owner.get(operand.untyped_storage().data_ptr(), ("", operand))
        if not name:
            return
        if name not in self.squares:
            self.squares[name] = torch.zeros_like(tensor, dtype=torch.float32, memory_format=torch.preserve_format)
        value = squares().expand(operand.shape)
        repeated = [d for d, step in enumerate(operand.stride()) if step == 0]
        if repeated:
            value = value.sum(repeated, keepdim=True)
        at = operand.storage_offset() - tensor.storage_offset()
        self.squares[name].as_strided(value.shape, operand.stride(), at).add_(value)


def _squares(values: Tensor) -> Tensor:
    return values.abs().float().square()
