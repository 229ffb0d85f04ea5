"""The gallery's residual network, opened on a page."""

from __future__ import annotations

from prunescope.core import plan
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session


def digits() -> Session:
    """A session of its own, with everything that the gallery gives."""
    opened = open_model("digits-resnet")
    return Session(
        opened.model,
        opened.example_inputs,
        evaluate=opened.evaluate,
        batches=opened.batches,
        loss=opened.loss,
        examples=opened.examples,
        title=opened.title,
        origin=opened.origin,
    )


def cut(session: Session, share: float, name: str) -> None:
    """Put a cut of the version on screen on screen."""
    session.apply(plan(session.version.graph, session.scores(), share), name)
