"""`explore`: the page of a model, inline in Jupyter or in the browser, and its session."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from torch import nn

from prunescope.core.evidence import Loss
from prunescope.core.measure import Evaluate
from prunescope.explorer.server import serve
from prunescope.explorer.session import Session
from prunescope.explorer.store import store_for


def explore(  # noqa: PLR0913  one verb, and each argument a choice of its own
    model: nn.Module,
    example_inputs: Any,
    evaluate: Evaluate | None = None,
    train: Callable[..., None] | None = None,
    *,
    batches: Sequence[Any] | None = None,
    loss: Loss | None = None,
    examples: Any = None,
    title: str = "",
    port: int | None = None,
    proxy: str | None = None,
    height: int = 820,
    show: bool = True,
    executor: Executor | None = None,
    sessions: str | Path | None = None,
) -> Session:
    """Show a model: inline in a notebook, else in the browser. Returns at once.

    Args:
        model: Any module; it is never changed.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments.
        evaluate: `evaluate(model) -> float`, higher is better; without it no accuracy is shown.
        train: `train(model, report)`, the user's fine-tuning.
        batches: Of training data, as `loss` takes them: for criteria that need data, and for training in the page.
        loss: `loss(model, batch)`, a scalar or one number for each example.
        examples: (inputs, labels) or (inputs, labels, names of the classes): the page compares what versions predict.
        title: What the page calls the model; its class name if empty.
        port: Of the page; a free one if None.
        proxy: The path at which the notebook's server shows a port of the kernel's machine, for example
            "/proxy/{port}/" with jupyter-server-proxy. Under JupyterHub it is found; elsewhere the browser has to reach
            the port itself.
        height: Of the frame in a notebook, pixels.
        show: False only serves the page, at `session.url`.
        executor: Runs the jobs (cutting, measuring); one thread of its own if None.
        sessions: A folder where sessions are kept: for the same model with the same weights, all versions that were
            made before are there again. Nothing is kept if None.

    Returns:
        The session: `session.model` is the version on screen. The page is served as long as the process lives.

    Raises:
        TraceFailed: the model does not run on the inputs.
        BadInput: the port is taken, or `proxy` is no path.
    """
    session = Session(
        model,
        example_inputs,
        evaluate=evaluate,
        train=train,
        batches=batches,
        loss=loss,
        examples=examples,
        title=title,
        executor=executor,
        store=store_for(Path(sessions), title or type(model).__name__, model) if sessions is not None else None,
    )
    served = serve(session, port=port, proxy=proxy or _hubs_proxy())
    served.in_background()
    session.start()
    if show:
        _show(served.url, height)
    return session


def _show(url: str, height: int) -> None:
    if not _in_notebook():
        webbrowser.open(url)
        return
    from IPython.display import IFrame, display

    display(IFrame(url, width="100%", height=height))  # type: ignore[no-untyped-call]


def _hubs_proxy() -> str | None:
    """Where JupyterHub shows the ports of this machine, by jupyter-server-proxy; None elsewhere."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") if _in_notebook() else None
    return f"{prefix.rstrip('/')}/proxy/{{port}}/" if prefix else None


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config
