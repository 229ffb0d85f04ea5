"""A pruned model taken along: weights with the plans that shape them, ONNX, and torch.export programs, each checked."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prunescope.core.errors import BadInput, ExportFailed
from prunescope.core.inputs import as_call, plain_output
from prunescope.core.modes import evaluating
from prunescope.core.plan import Plan
from prunescope.core.surgery import prune

TOLERANCE = 1e-3  # of the largest output: other kernels round differently, a wrong graph is far off
SLACK = 1e-4  # where all outputs are near zero


@dataclass(frozen=True)
class Exported:
    """A model as a file of another kind."""

    content: bytes
    difference: float  # largest absolute difference of an output from the model's, on the example inputs
    checked_with: str  # what ran the file

    def __str__(self) -> str:
        return f"{len(self.content):,} bytes; {self.checked_with} differs from the model by {self.difference:.1e}"


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with each tensor in its own memory, on the CPU, as safetensors wants them."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        own = tensor.detach().cpu().contiguous()
        kept[name] = own.clone() if own.data_ptr() in seen else own
        seen.add(own.data_ptr())
    return kept


def plans_text(plans: Sequence[Plan]) -> str:
    """Plans, in the order in which they are applied, as JSON."""
    return json.dumps([json.loads(made.to_json()) for made in plans], indent=1)


def read_plans(text: str) -> tuple[Plan, ...]:
    """What `plans_text` wrote, or the one plan that `Plan.to_json` wrote.

    Raises:
        BadPlan: it is neither.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    parts = found if isinstance(found, list) else [found]
    return tuple(Plan.from_json(json.dumps(part) if isinstance(part, dict) else str(part)) for part in parts)


def save_pruned(path: str | PathLike[str], model: nn.Module, plans: Sequence[Plan]) -> tuple[Path, Path]:
    """Write `path`.safetensors and `path`.plan.json: weights, and the plans that make their shapes of the original.

    Returns:
        Both paths.
    """
    from safetensors.torch import save_file

    stem = fspath(path)
    weights, plan = Path(f"{stem}.safetensors"), Path(f"{stem}.plan.json")
    save_file(tensors_of(model), weights)
    plan.write_text(plans_text(plans))
    return weights, plan


def load_pruned(path: str | PathLike[str], original: nn.Module, example_inputs: Any = None) -> nn.Module:
    """Shape a model of the original class by the plans and load the weights that `save_pruned` wrote. No pickle.

    Args:
        path: As given to `save_pruned`.
        original: An unpruned model of the same class and sizes, any weights; it is not changed.
        example_inputs: Needed only where the plan's inputs cannot be made up.

    Raises:
        BadPlan: the plans were made for another model.
        BadInput: the weights do not fit.
    """
    from safetensors.torch import load_file

    stem = fspath(path)
    model = original
    for made in read_plans(Path(f"{stem}.plan.json").read_text()):
        model = prune(model, made, example_inputs=example_inputs, verify=False).model
    try:
        model.load_state_dict(load_file(f"{stem}.safetensors"))
    except RuntimeError as error:
        raise BadInput(
            asked=f"load {stem}.safetensors into the pruned {type(original).__name__}",
            found=str(error),
            where=f"{stem}.safetensors",
            what_to_do="give plan and weights of the same version, and a model of the class they were made from",
        ) from error
    return model


def to_onnx(model: nn.Module, example_inputs: Any) -> Exported:
    """The model as ONNX, run by onnxruntime on the same inputs.

    Raises:
        ExportFailed: onnx, onnxscript or onnxruntime are missing, torch cannot export the model, or the outputs differ.
    """
    asked = f"export {type(model).__name__} as ONNX"
    _needs(asked, "onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    args, kwargs = as_call(example_inputs)
    with _failing(asked), evaluating(model), torch.no_grad(), _quiet():
        program = torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, verbose=False)
        assert program is not None  # without a file name torch returns it
        content = program.model_proto.SerializeToString()
        runtime = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        names = [each.name for each in runtime.get_inputs()]
        found = runtime.run(None, {n: t.cpu().numpy() for n, t in zip(names, tensors, strict=True)})
    answers = [torch.from_numpy(value) for value in found]
    return Exported(content, _difference(asked, model, args, kwargs, answers), "onnxruntime")


def to_program(model: nn.Module, example_inputs: Any) -> Exported:
    """The model as a file of `torch.export.save`, loaded again and run on the same inputs.

    Raises:
        ExportFailed: torch cannot export the model, or the outputs differ.
    """
    asked = f"export {type(model).__name__} as a program"
    args, kwargs = as_call(example_inputs)
    with _failing(asked), evaluating(model), torch.no_grad(), _quiet():
        held = BytesIO()
        torch.export.save(torch.export.export(model, args, kwargs), held)
        content = held.getvalue()
        answer = torch.export.load(BytesIO(content)).module()(*args, **kwargs)
    return Exported(content, _difference(asked, model, args, kwargs, _tensors(answer)), "the loaded program")


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(plain_output(result)) if isinstance(leaf, Tensor)]


def _difference(asked: str, model: nn.Module, args: Any, kwargs: Any, answers: Sequence[Tensor]) -> float:
    """The largest difference of an output; ExportFailed where it is more than rounding."""
    with evaluating(model), torch.no_grad():
        wanted = _tensors(model(*args, **kwargs))
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (wanted, answers)]
    if shapes[0] != shapes[1]:
        raise _failed(asked, f"it gives outputs of shape {shapes[1]}, the model {shapes[0]}")
    worst = 0.0
    for want, got in zip(wanted, answers, strict=True):
        apart = float((want.cpu().double() - got.double()).abs().max()) if want.numel() else 0.0
        largest = float(want.double().abs().max()) if want.numel() else 0.0
        if not apart <= TOLERANCE * largest + SLACK:
            raise _failed(asked, f"an output differs by {apart:.2e}, where the model's largest is {largest:.2e}")
        worst = max(worst, apart)
    return worst


def _needs(asked: str, *packages: str) -> None:
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ExportFailed(
            asked=asked,
            found=f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            where="this Python environment",
            what_to_do="pip install 'prunescope[export]'",
        )


@contextmanager
def _failing(asked: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what the exporters raise is of many kinds
        raise _failed(asked, f"{type(error).__name__}: {error}") from error


def _failed(asked: str, found: str) -> ExportFailed:
    return ExportFailed(
        asked=asked,
        found=found,
        where="torch's exporter, on the example inputs",
        what_to_do="take weights and plan along instead: prunescope.core.export.load_pruned applies them to the class",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters' own notes on their work are for those who develop them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
