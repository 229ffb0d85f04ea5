"""Jobs that change weights, or measure what a cut would cost, of the version on screen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from prunescope.core import trace
from prunescope.core.errors import BadInput
from prunescope.core.evidence import Loss
from prunescope.core.recovery import Epoch, fine_tune
from prunescope.core.recovery import recalibrate as measure_statistics
from prunescope.core.sensitivity import Cut, sensitivity
from prunescope.core.sparsity import GroupSparsity
from prunescope.explorer.jobs import JobState, Point, Progress
from prunescope.explorer.session import Session

EPOCHS = 5
STRENGTH = 5e-4
_FADED = 0.01  # of the largest importance of its group


def tune(session: Session, epochs: int = EPOCHS) -> JobState:
    """Fine-tune a copy of the version on screen with the user's `train`, else on the batches, and measure it.

    Raises:
        BadInput: the session has neither `train` nor batches and loss.
    """
    base, train = session.version, session.train
    if not session.can_tune:
        raise BadInput(
            asked=f"fine-tune {base.name}",
            found="there is no train function for this model, and no data",
            where="this session",
            what_to_do="give one: explore(model, example_inputs, train=train) with train(model, report), or "
            "batches=batches and loss=loss with loss(model, batch)",
        )
    if train is None:
        return _train(session, "Fine-tune", "tuned", epochs, None)

    def work(progress: Progress) -> None:
        model = copy.deepcopy(base.model)

        def report(epoch: int, of: int, loss: float, accuracy: float) -> None:
            progress.point(Point(epoch, loss, accuracy, None))
            progress.step(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.1%}", epoch, of)

        progress.step("starting to train")
        train(model, report)
        session.add_tuned(base, f"{base.name}, tuned", model, progress)

    return session.jobs.submit(f"Fine-tune {base.name}", work)


def sparsify(session: Session, epochs: int = EPOCHS, strength: float = STRENGTH) -> JobState:
    """Train a copy of the version on screen with group sparsity, and measure it.

    Raises:
        BadInput: the session has no batches or no loss.
    """
    return _train(session, "Train sparsely", "sparse", epochs, strength)


def recalibrate(session: Session) -> JobState:
    """Measure the normalisation statistics of a copy of the version on screen anew, and then the copy.

    Raises:
        BadInput: the session has no batches or no loss.
    """
    base, (batches, loss) = session.version, _data(session, "measure normalisation statistics anew")

    def work(progress: Progress) -> None:
        model = copy.deepcopy(base.model)
        progress.step("measuring normalisation statistics")
        if not measure_statistics(model, batches, loss):
            raise BadInput(
                asked=f"measure normalisation statistics of {base.name} anew",
                found="no layer of this model keeps running statistics",
                where=type(model).__name__,
                what_to_do="fine-tune it instead",
            )
        session.add_tuned(base, f"{base.name}, recalibrated", model, progress)

    return session.jobs.submit(f"Recalibrate {base.name}", work)


def sweep(session: Session, criterion: str = "magnitude") -> JobState:
    """Measure the accuracy of cutting each group of the version on screen alone; results come one by one.

    Raises:
        BadInput: the session has no `evaluate`.
    """
    version, scores, evaluate = session.version, session.scores(criterion), session.evaluate
    if evaluate is None:
        raise BadInput(
            asked=f"sweep the sensitivity of {version.name}",
            found="there is no evaluate function for this model",
            where="this session",
            what_to_do="give one: explore(model, example_inputs, evaluate=evaluate) with evaluate(model) -> number",
        )

    def work(progress: Progress) -> None:
        def report(cut: Cut, done: int, of: int) -> None:
            session.sweep_found(version.id, cut)
            progress.step(f"{cut.group}, {cut.ratio:.0%} cut", done, of)

        session.sweep_starts(version.id)
        progress.step("measuring the uncut model")
        sensitivity(version.graph, scores, evaluate, report=report, cancel=progress.cancelled)

    return session.jobs.submit(f"Sensitivity of {version.name}", work)


def _train(session: Session, title: str, suffix: str, epochs: int, strength: float | None) -> JobState:
    base, (batches, loss) = session.version, _data(session, title.lower())

    def work(progress: Progress) -> None:
        progress.step("starting to train")
        model = copy.deepcopy(base.model)
        sparsity = None if strength is None else GroupSparsity(trace(model, session.example_inputs), strength)

        def report(epoch: Epoch, of: int) -> None:
            progress.point(Point(epoch.number, epoch.loss, epoch.accuracy, faded(sparsity) if sparsity else None))
            progress.step(f"epoch {epoch.number}: loss {epoch.loss:.3f}", epoch.number, of)

        fine_tune(
            model,
            batches,
            loss,
            epochs,
            evaluate=session.evaluate,
            regularise=sparsity.regularise if sparsity else None,
            before_epoch=sparsity.update if sparsity else None,
            report=report,
            cancel=progress.cancelled,
        )
        session.add_tuned(base, f"{base.name}, {suffix}", model, progress)

    return session.jobs.submit(f"{title}: {base.name}", work)


def _data(session: Session, what: str) -> tuple[Sequence[Any], Loss]:
    if session.batches is not None and session.loss is not None:
        return session.batches, session.loss
    raise BadInput(
        asked=f"{what}: {session.version.name}",
        found="there is nothing to train on",
        where="this session",
        what_to_do="give data: explore(model, example_inputs, batches=batches, loss=loss) with loss(model, batch)",
    )


def faded(sparsity: GroupSparsity) -> float:
    """The share of all units whose importance is under a hundredth of their group's largest."""
    last = [penalty for penalty in sparsity.history if penalty.update == sparsity.history[-1].update]
    low = sum(int((p.importance < _FADED * p.importance.max()).sum()) for p in last)
    return low / max(sum(len(p.importance) for p in last), 1)
