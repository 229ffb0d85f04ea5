"""What can be traced: wrappers are taken off, and what has no Python code, weights or dimensions to cut is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from prunescope.core.errors import BadInput


def accepted(model: Any) -> nn.Module:
    """The model itself, without what wraps it: DataParallel, DistributedDataParallel, torch.compile.

    Raises:
        BadInput: it is no module, TorchScript, quantised, or has lazy layers that never ran.
    """
    if not isinstance(model, nn.Module):
        raise _refused(f"an object of type {type(model).__name__}", "", "give a torch.nn.Module, already built")
    plain = _unwrapped(model)
    for name, module in plain.named_modules():
        reason = _unusable(module)
        if reason:
            raise _refused(reason[0], name, reason[1])
    return plain


def nested(where: str) -> BadInput:
    """The error of a model that is given or makes a nested tensor."""
    found = "a nested tensor, whose parts differ in size, so that it has no dimensions to cut"
    return _refused(found, where, "pad the parts to one size, as torch.nn.utils.rnn.pad_sequence does")


def _unwrapped(model: nn.Module) -> nn.Module:
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _unwrapped(model.module)
    # its class is torch._dynamo's, which is not loaded only to ask
    inner = getattr(model, "_orig_mod", None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) else model


def _unusable(module: nn.Module) -> tuple[str, str] | None:
    """(what it is, what to do) where a module cannot be traced and cut."""
    kind: Any = type(module)
    refused = _unusable_kind(kind)
    if refused:
        return refused
    # most parameters are of the one type, which is quickly told
    others = [parameter for parameter in module._parameters.values() if type(parameter) is not nn.Parameter]
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in others):
        return "a lazy layer that has not run and has no size yet", "run the model once on example inputs"
    return None


@cache
def _unusable_kind(kind: type[nn.Module]) -> tuple[str, str] | None:
    if issubclass(kind, torch.jit.ScriptModule):
        return "TorchScript, which has no Python code to repair", "give the model that it was made from"
    if ".quantized" in kind.__module__ and kind.__module__.startswith("torch."):
        return "a quantised layer, whose weights are packed", "prune the model before it is quantised"
    return None


def _refused(found: str, where: str, what_to_do: str) -> BadInput:
    return BadInput(asked="trace a model", found=found, where=where or "argument model", what_to_do=what_to_do)
