"""The command `prunescope`."""

from __future__ import annotations

import argparse
import importlib
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunescope.core.errors import BadInput, PrunescopeError
from prunescope.core.trace import trace

DESCRIPTION = "See which layers of a network are coupled, cut the units that matter least, compare."
FIRST_MODEL = "digits-resnet"
EPILOG = """examples:
  prunescope                                     a trained network that comes with the package
  prunescope resnet50                            a torchvision model by name, random weights
  prunescope resnet50 --state-dict weights.safetensors
  prunescope pkg.module:build --input 1,3,32,32 --evaluate pkg.module:accuracy
  prunescope report resnet50                     the table of layers and groups, no browser
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 with one message where something was asked that cannot be."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    report = words[:1] == ["report"]
    options = _parser().parse_args(words[1:] if report else words)
    try:
        return _report(options) if report else _explore(options)
    except PrunescopeError as error:
        print(f"prunescope: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prunescope",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=FIRST_MODEL,
        metavar="[report] MODEL",
        help=f"a gallery model, a torchvision name or pkg.module:build (default {FIRST_MODEL})",
    )
    parser.add_argument(
        "--input",
        action="append",
        metavar="1,3,32,32",
        help="shape of an input, once for each; add :int64 for another type than float32",
    )
    parser.add_argument("--evaluate", metavar="PKG.MODULE:FUNCTION", help="function(model) -> number, higher is better")
    parser.add_argument("--train", metavar="PKG.MODULE:FUNCTION", help="function(model, report), fine-tunes in place")
    parser.add_argument("--state-dict", metavar="FILE", help="weights: .safetensors, or a file of torch.save")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on; others than loopback need a token")
    parser.add_argument("--port", type=int, help="port to serve on (default: 8050, or a free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    return parser


def _report(options: argparse.Namespace) -> int:
    import pandas as pd

    opened = _open(options)
    graph = trace(opened.model, opened.example_inputs)
    with pd.option_context("display.max_rows", None, "display.max_columns", None, "display.width", 250):
        print(graph.table())
    print(f"\n{len(graph.groups)} groups can be cut:")
    for group in graph.groups:
        print(f"  {group.name}: {group.size} {group.kind}, layers {', '.join(group.layers)}")
    print("\nCannot be cut:")
    for lock in graph.locks:
        print(f"  {lock}")
    for note in graph.notes:
        print(f"\nNote: {note}")
    return 0


def _explore(options: argparse.Namespace) -> int:
    from prunescope.explorer.server import serve
    from prunescope.explorer.session import Session

    opened = _open(options)
    session = Session(
        opened.model,
        opened.example_inputs,
        evaluate=opened.evaluate,
        train=opened.train,
        title=opened.title,
        note=opened.note,
    )
    served = serve(session, options.host, options.port)
    session.start()
    print(f"prunescope: {opened.title} at {served.url}", flush=True)
    if not options.no_browser:
        webbrowser.open(served.url)
    try:
        served.forever()
    finally:
        # the process ends when its last job does
        session.jobs.cancel()
    return 0


def _open(options: argparse.Namespace) -> Any:
    from dataclasses import replace

    from prunescope.explorer.gallery import OpenedModel, open_model

    sys.path.insert(0, "")
    weights = _weights(options.state_dict) if options.state_dict else None
    if ":" in options.model:
        opened = _built(options.model, options.input, weights, OpenedModel)
    else:
        opened = open_model(options.model, weights)
        if options.input:
            opened = replace(opened, example_inputs=_inputs(options.input))
    if options.evaluate:
        opened = replace(opened, evaluate=_imported(options.evaluate, "--evaluate"))
    if options.train:
        opened = replace(opened, train=_imported(options.train, "--train"))
    return opened


def _built(
    path: str, shapes: Sequence[str] | None, weights: dict[str, Tensor] | None, record: Callable[..., Any]
) -> Any:
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
    return record(name=path, title=path, model=made, example_inputs=_inputs(shapes), evaluate=None, train=None, note="")


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


if __name__ == "__main__":
    sys.exit(main())
