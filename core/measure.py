"""What a model costs and how good it is: parameters, bytes, MACs, latency, accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from prunescope.core.errors import MeasurementFailed
from prunescope.core.inputs import as_call
from prunescope.core.modes import evaluating
from prunescope.core.timing import Cancel, Progress, latency, run_once, stop_if

if TYPE_CHECKING:
    import pandas as pd

Evaluate = Callable[[nn.Module], float]
"""The user's own measure of quality, higher is better."""


def parameters(model: nn.Module) -> int:
    """The number of parameters, trainable or not; tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def size_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers; tied ones counted once."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def macs(model: nn.Module, example_inputs: Any) -> int:
    """Multiply-accumulate operations of one forward pass, for the batch size of the example inputs.

    Counted are matrix products (attention and recurrent layers included) and convolutions, as executed;
    element-wise work, normalisation and pooling are not.

    Args:
        model: Run once without gradients in eval mode; its training mode is left as it was.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments.

    Raises:
        BadInput: The example inputs have another form.
        MeasurementFailed: The model raised.
    """
    # here and not above: it loads triton, and torch's compiler when it runs
    from torch.utils.flop_counter import FlopCounterMode

    args, kwargs = as_call(example_inputs)
    counter = FlopCounterMode(display=False, custom_mapping=_extra_flops())
    with evaluating(model), torch.no_grad(), _frozen(model), products_visible(model), counter:
        run_once(model, args, kwargs, asked="count the MACs of one forward pass")
    return counter.get_total_flops() // 2


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for gradients: torch's counter trips over a view of one that is handed to a module."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _extra_flops() -> dict[Any, Callable[..., int]]:
    """What torch's counter does not count."""
    found: dict[Any, Callable[..., int]] = {torch.ops.aten._sparse_addmm: _sparse_flops}
    # torch has it from 2.8 on
    if hasattr(torch.ops.aten, "_grouped_mm"):
        found[torch.ops.aten._grouped_mm] = _grouped_flops
    return found


def _sparse_flops(added: Sequence[int], left: Sequence[int], right: Sequence[int], **options: Any) -> int:
    """Of a product (n, c) x (c, m); zeros of the sparse factor count too, as in torch's other products."""
    return 2 * math.prod(left) * right[-1]


def _grouped_flops(left: Sequence[int], right: Sequence[int], *others: Any, **options: Any) -> int:
    """Of a product (n, c) x (g, c, m) whose every row meets one of the g matrices."""
    return 2 * math.prod(left) * right[-1]


def accuracy(model: nn.Module, evaluate: Evaluate, name: str = "model") -> float:
    """The number that the user's `evaluate` gives the model, checked to be a finite number.

    Args:
        model: Handed over in eval mode; its training mode is left as it was.
        evaluate: The user's function.
        name: What the model is called in the message of an error.

    Raises:
        MeasurementFailed: `evaluate` raised (the cause is chained), or returned no finite number.
    """
    try:
        with evaluating(model):
            value = evaluate(model)
    except Exception as error:
        raise _evaluate_failed(evaluate, name, f"it raised {type(error).__name__}: {error}") from error
    number = _as_number(value)
    if number is None:
        raise _evaluate_failed(evaluate, name, f"it returned {value!r} of type {type(value).__name__}")
    if not math.isfinite(number):
        raise _evaluate_failed(evaluate, name, f"it returned {number}")
    return number


def measure(
    models: Mapping[str, nn.Module],
    example_inputs: Any,
    evaluate: Evaluate | None = None,
    *,
    rounds: int = 10,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> pd.DataFrame:
    """Everything this module measures, of any number of models on the same inputs.

    Args:
        models: By the name that their row gets.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments.
        evaluate: The user's function; without it `accuracy` is NaN.
        rounds: Samples of latency for each model.
        progress: Called as `progress(done, of)` after each round of timing.
        cancel: Asked before each model is counted or evaluated, and before each round of timing.

    Returns:
        A row for each model with the columns `parameters`, `macs`, `bytes` (integers), `latency_ms` (median),
        `latency_iqr_ms` and `accuracy` (floats). `attrs["threads"]` and `attrs["rounds"]` say how latency
        was taken.

    Raises:
        BadInput: The example inputs have another form.
        MeasurementFailed: A model or `evaluate` raised, or `evaluate` returned no finite number.
        concurrent.futures.CancelledError: `cancel` returned True.
    """
    # here and not above: only the table needs it
    import pandas as pd

    counts = {name: _counts(model, example_inputs, cancel) for name, model in models.items()}
    times = latency(list(models.values()), example_inputs, rounds=rounds, progress=progress, cancel=cancel)
    rows = [
        {
            **counts[name],
            "latency_ms": time.median_ms,
            "latency_iqr_ms": time.iqr_ms,
            "accuracy": _accuracy_or_nan(model, evaluate, name, cancel),
        }
        for (name, model), time in zip(models.items(), times, strict=True)
    ]
    table = pd.DataFrame(rows, index=pd.Index(models, name="model"))
    table.attrs = {"threads": times[0].threads, "rounds": rounds}
    return table


def compare(
    model: nn.Module,
    pruned_model: nn.Module,
    example_inputs: Any,
    evaluate: Evaluate | None = None,
    *,
    rounds: int = 10,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> pd.DataFrame:
    """What pruning changed: the original and the pruned model, measured side by side.

    Example:
        >>> compare(model, result.model, torch.randn(1, 3, 224, 224))  # doctest: +SKIP

    Args:
        model: The original.
        pruned_model: What became of it.
        example_inputs: As both models take them: one tensor, a tuple of positional arguments or a dict of
            keyword arguments.
        evaluate: The user's function, higher is better; without it `accuracy` is NaN.
        rounds: Samples of latency for each model.
        progress: Called as `progress(done, of)` after each round of timing.
        cancel: Asked between steps; True ends the comparison.

    Returns:
        The table of `measure` with the rows "original" and "pruned".

    Raises:
        BadInput, MeasurementFailed, concurrent.futures.CancelledError: As `measure` does.
    """
    models = {"original": model, "pruned": pruned_model}
    return measure(models, example_inputs, evaluate, rounds=rounds, progress=progress, cancel=cancel)


@contextmanager
def products_visible(model: nn.Module) -> Iterator[None]:
    """Make fused layers run as the matrix products they consist of: the counter knows no fused operation."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            # Not mkldnn.flags(): it also sets what only some builds of torch know, and they warn.
            enabled, *_ = torch.backends.mkldnn.set_flags(_enabled=False)
            stack.callback(torch.backends.mkldnn.set_flags, _enabled=enabled)
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def _counts(model: nn.Module, example_inputs: Any, cancel: Cancel | None) -> dict[str, int]:
    stop_if(cancel)
    return {
        "parameters": parameters(model),
        "macs": macs(model, example_inputs),
        "bytes": size_bytes(model),
    }


def _accuracy_or_nan(model: nn.Module, evaluate: Evaluate | None, name: str, cancel: Cancel | None) -> float:
    if evaluate is None:
        return math.nan
    stop_if(cancel)
    return accuracy(model, evaluate, name)


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (Tensor, np.ndarray)) and value.shape == ():
        return float(value)
    return None


def _evaluate_failed(evaluate: Evaluate, name: str, found: str) -> MeasurementFailed:
    called = getattr(evaluate, "__qualname__", type(evaluate).__qualname__)
    module = getattr(evaluate, "__module__", "unknown module")
    return MeasurementFailed(
        asked=f"the accuracy of the {name} model by evaluate(model)",
        found=f"evaluate gave no number: {found}",
        where=f"evaluate = {module}.{called}",
        what_to_do="let evaluate(model) return one finite number, higher is better; try it by itself",
    )
