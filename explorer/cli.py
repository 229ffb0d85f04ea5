"""The command `prunescope`."""

from __future__ import annotations

import argparse
import gc
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from prunescope.explorer.store import Store

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
    # nearly everything that is made until the page is served stays: to look through it again and again for what
    # could go would take a quarter of the start
    gc.disable()
    try:
        return _run(options, report)
    except KeyboardInterrupt:
        return 0
    finally:
        gc.enable()


def _run(options: argparse.Namespace, report: bool) -> int:
    # from here on imports stand where they are needed: torch takes seconds, and --help does without it
    from prunescope.core.errors import PrunescopeError

    try:
        return _report(options) if report else _explore(options)
    except PrunescopeError as error:
        print(f"prunescope: {error}", file=sys.stderr)
        return 2


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
    parser.add_argument("--batches", metavar="PKG.MODULE:NAME", help="training data, or a function that returns it")
    parser.add_argument("--loss", metavar="PKG.MODULE:FUNCTION", help="function(model, batch) -> the loss of a batch")
    parser.add_argument(
        "--examples", metavar="PKG.MODULE:NAME", help="(inputs, labels) to compare predictions on, or a function for it"
    )
    parser.add_argument("--state-dict", metavar="FILE", help="weights: .safetensors, or a file of torch.save")
    parser.add_argument(
        "--sessions",
        default=".prunescope",
        metavar="FOLDER",
        help="where sessions are kept (default: .prunescope here)",
    )
    parser.add_argument("--fresh", action="store_true", help="begin a new session; what was kept before stays there")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on; others than loopback need a token")
    parser.add_argument("--port", type=int, help="port to serve on (default: 8050, or a free one)")
    parser.add_argument("--window", action="store_true", help="open a window of its own, not the browser")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    return parser


def _report(options: argparse.Namespace) -> int:
    import pandas as pd

    from prunescope.core.trace import trace
    from prunescope.explorer.opening import opened

    found = opened(options)
    graph = trace(found.model, found.example_inputs)
    with pd.option_context("display.max_rows", None, "display.max_columns", None, "display.width", 250):
        print(graph.table())
    print(f"\nGroups that can be cut: {len(graph.groups)}")
    for group in graph.groups:
        print(f"  {group.name}: {group.size} {group.kind}, layers {', '.join(group.layers)}")
    print("\nCannot be cut:")
    for lock in graph.locks:
        print(f"  {lock}")
    for note in graph.notes:
        print(f"\nNote: {note}")
    return 0


def _store(options: argparse.Namespace, model: nn.Module) -> Store | None:
    """Where the session is kept; None, with a note, where nothing can be written."""
    from prunescope.explorer.store import store_for

    store = store_for(Path(options.sessions), options.model, model, fresh=options.fresh)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"prunescope: the session is not kept: {error} (choose a folder with --sessions)", file=sys.stderr)
        return None
    return store


def _explore(options: argparse.Namespace) -> int:
    from prunescope.explorer.opening import opened
    from prunescope.explorer.session import Session

    model = opened(options)
    store = _store(options, model.model)
    session = Session(
        model.model,
        model.example_inputs,
        evaluate=model.evaluate,
        train=model.train,
        batches=model.batches,
        loss=model.loss,
        title=model.title,
        note=model.note,
        examples=model.examples,
        origin=model.origin,
        store=store,
    )
    # after the model: one that cannot be shown is answered without waiting for Dash
    from prunescope.explorer.server import serve
    from prunescope.explorer.window import check_window, show_window

    if options.window:
        check_window()
    served = serve(session, options.host, options.port)
    session.start_when_seen()
    # what there is now stays for good: no later collection looks through it again
    gc.freeze()
    gc.enable()
    print(f"prunescope: {model.title} at {served.url}", flush=True)
    kept = len(session.versions) - 1
    if store and kept:
        print(f"prunescope: {kept} made before, kept in {store.folder}; --fresh begins anew", flush=True)
    try:
        if options.window:
            show_window(served, model.title)
        else:
            if not options.no_browser:
                webbrowser.open(served.url)
            served.forever()
    finally:
        # the process ends when its last job does
        session.jobs.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())
