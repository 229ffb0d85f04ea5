"""The model that a command line names: of the gallery, of torchvision, or of the user's own code."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunescope.core.errors import BadInput
from prunescope.explorer.gallery import OpenedModel, open_model


def opened(options: argparse.Namespace) -> OpenedModel:
    """The model of the command line with its inputs, weights and functions.

    Raises:
        UnknownModel, BadInput: what is asked for does not exist, or does not fit together.
    """
    sys.path.insert(0, "")
    weights = _weights(options.state_dict) if options.state_dict else None
    if ":" in options.model:
        found = _built(options.model, options.input, weights)
    else:
        found = open_model(options.model, weights)
        if options.input:
            found = replace(found, example_inputs=_inputs(options.input))
    if options.evaluate:
        found = replace(found, evaluate=_imported(options.evaluate, "--evaluate"))
    if options.train:
        found = replace(found, train=_imported(options.train, "--train"))
    if options.batches:
        found = replace(found, batches=_read(options.batches, "--batches", list))
    if options.examples:
        found = replace(found, examples=_read(options.examples, "--examples"))
    if options.loss:
        found = replace(found, loss=_imported(options.loss, "--loss"))
    return found


def _built(path: str, shapes: Sequence[str] | None, weights: dict[str, Tensor] | None) -> OpenedModel:
    """The model that a function of the user's makes, or that a name of the user's module is."""
    if not shapes:
        raise BadInput(
            asked=f"open {path}",
            found="no --input: the shape of what the model takes is not known",
            where="the command line",
            what_to_do="add for example --input 1,3,32,32",
        )
    made = _imported(path, "MODEL")
    if not isinstance(made, nn.Module):
        try:
            made = made()
        except Exception as error:
            raise _not_opened(path, f"calling it raised {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise _not_opened(path, f"it gave a {type(made).__name__}, not a torch.nn.Module")
    if weights is not None:
        try:
            made.load_state_dict(weights)
        except RuntimeError as error:
            raise _not_opened(path, f"the state dict does not fit: {error}") from error
    inputs = _inputs(shapes)
    return OpenedModel(path, path, model=made, example_inputs=inputs, evaluate=None, train=None, note="")


def _read(path: str, option: str, form: Callable[[Any], Any] = lambda data: data) -> Any:
    """What a name of the user's module is, or what a function of that name gives, in this form."""
    made = _imported(path, option)
    try:
        return form(made() if callable(made) else made)
    except Exception as error:
        raise BadInput(
            asked=f"{option} {path}",
            found=f"reading it raised {type(error).__name__}: {error}",
            where=path,
            what_to_do="name the data itself, or a function without arguments that returns it",
        ) from error


def _not_opened(path: str, found: str) -> BadInput:
    return BadInput(
        asked=f"open {path}",
        found=found,
        where=path,
        what_to_do="name a function without arguments that returns the model, or the model itself",
    )


def _imported(path: str, option: str) -> Any:
    """The object that `pkg.module:name` names."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise BadInput(
            asked=f"import {path}",
            found=f"{type(error).__name__}: {error}",
            where=option,
            what_to_do="give pkg.module:name, importable from this folder",
        ) from error


def _inputs(shapes: Sequence[str]) -> Tensor | tuple[Tensor, ...]:
    made = tuple(_input(text) for text in shapes)
    return made[0] if len(made) == 1 else made


def _input(text: str) -> Tensor:
    sizes, _, kind = text.partition(":")
    dtype = getattr(torch, kind or "float32", None)
    try:
        shape = [int(size) for size in sizes.split(",")]
    except ValueError:
        shape = []
    if not shape or min(shape) < 1 or not isinstance(dtype, torch.dtype):
        raise BadInput(
            asked=f"an input of shape {text!r}",
            found="it is not a list of sizes of 1 or more, separated by commas, with an optional type",
            where="--input",
            what_to_do="write for example --input 1,3,224,224 or --input 1,128:int64",
        )
    return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def _weights(path: str) -> dict[str, Tensor]:
    """A state dict from a file; nothing in it is run."""
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        return dict(torch.load(Path(path), map_location="cpu", weights_only=True))
    except Exception as error:  # what these libraries raise for a bad file is of many kinds
        raise BadInput(
            asked=f"read weights from {path}",
            found=f"{type(error).__name__}: {error}",
            where="--state-dict",
            what_to_do="give a state dict: a .safetensors file, or what torch.save(model.state_dict(), file) wrote",
        ) from error
