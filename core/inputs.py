"""Example inputs in the three forms that the public functions take, and outputs of any form as plain containers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_map

from prunescope.core.errors import BadInput


def as_call(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of the call `model(*args, **kwargs)`.

    Args:
        example_inputs: One tensor (the only positional argument), a tuple (the positional arguments)
            or a mapping with string keys (the keyword arguments).

    Returns:
        `(args, kwargs)`, with tensors of their own: a model may write into its inputs.

    Raises:
        BadInput: `example_inputs` has another form.
    """
    if isinstance(example_inputs, torch.Tensor):
        return (copied(example_inputs),), {}
    if isinstance(example_inputs, tuple):
        return tuple(copied(example_inputs)), {}
    if isinstance(example_inputs, Mapping) and all(isinstance(key, str) for key in example_inputs):
        return (), dict(copied(example_inputs))
    raise BadInput(
        asked="call the model with the example inputs",
        found=f"example_inputs is {_describe(example_inputs)}",
        where="argument example_inputs",
        what_to_do="give one tensor, a tuple of positional arguments, or a dict of keyword arguments by name",
    )


def copied(inputs: Any) -> Any:
    """The same containers around copies of the tensors; what occurs twice does so in the copy."""
    made: dict[int, torch.Tensor] = {}

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if id(leaf) not in made:
            made[id(leaf)] = leaf.detach().clone().requires_grad_(leaf.requires_grad)
        return made[id(leaf)]

    return tree_map(copy, inputs)


def _describe(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}, which could mean positional arguments or one argument that is a list"
    if isinstance(value, Mapping):
        keys = ", ".join(repr(key) for key in value if not isinstance(key, str))
        return f"a {type(value).__name__} with keys that are no argument names: {keys}"
    return f"of type {type(value).__qualname__}"


def describe_inputs(example_inputs: Any) -> str:
    """The structure, shapes and types of example inputs as JSON, without their values."""
    return json.dumps(_described(example_inputs), sort_keys=True)


def random_inputs(description: str) -> Any:
    """Inputs of the structure that `describe_inputs` wrote: normal numbers, and integers from the range it saw.

    Raises:
        BadInput: it holds something that is neither a tensor, a container nor a plain value.
    """
    return _built(json.loads(description))


def _described(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
        return {"unknown": "sparse tensor"}
    if isinstance(value, torch.Tensor):
        record: dict[str, Any] = {"tensor": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        if not value.is_floating_point() and not value.is_complex() and value.numel() and not value.is_meta:
            record["high"] = int(value.max()) + 1
        return record
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _described(item) for key, item in value.items()}}
    if isinstance(value, Mapping):
        return {"items": [[_described(key), _described(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__ if type(value) in (list, tuple) else "tuple": [_described(v) for v in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    return {"unknown": type(value).__qualname__}


def _built(record: dict[str, Any]) -> Any:
    if "tensor" in record:
        dtype = getattr(torch, record["dtype"])
        if "high" in record:
            return torch.randint(0, max(record["high"], 1), record["tensor"]).to(dtype)
        return torch.randn(record["tensor"]).to(dtype)
    if "dict" in record:
        return {key: _built(item) for key, item in record["dict"].items()}
    if "items" in record:
        return {_built(key): _built(item) for key, item in record["items"]}
    if "list" in record:
        return [_built(item) for item in record["list"]]
    if "tuple" in record:
        return tuple(_built(item) for item in record["tuple"])
    if "value" in record:
        return record["value"]
    raise BadInput(
        asked="make inputs like those that the plan was made with",
        found=f"an object of type {record['unknown']}, which a plan cannot store",
        where="the plan's inputs",
        what_to_do="give example_inputs: prune(model, plan, example_inputs=...)",
    )


def plain_output(result: Any) -> Any:
    """Outputs that are objects with fields (dataclasses, `ModelOutput`) as plain containers."""
    if isinstance(result, Mapping):
        return {key: plain_output(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [plain_output(value) for value in result]
    if hasattr(result, "__dataclass_fields__"):
        return {key: plain_output(getattr(result, key)) for key in result.__dataclass_fields__}
    return result
