"""The command `prunescope`."""

from __future__ import annotations

import argparse
import gc
import sys
import webbrowser
from collections.abc import Sequence

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
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on; others than loopback need a token")
    parser.add_argument("--port", type=int, help="port to serve on (default: 8050, or a free one)")
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
    from prunescope.explorer.opening import opened
    from prunescope.explorer.session import Session

    model = opened(options)
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
    )
    # after the model: one that cannot be shown is answered without waiting for Dash
    from prunescope.explorer.server import serve

    served = serve(session, options.host, options.port)
    session.start_when_seen()
    # what there is now stays for good: no later collection looks through it again
    gc.freeze()
    gc.enable()
    print(f"prunescope: {model.title} at {served.url}", flush=True)
    if not options.no_browser:
        webbrowser.open(served.url)
    try:
        served.forever()
    finally:
        # the process ends when its last job does
        session.jobs.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())
