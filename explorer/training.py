"""Jobs that change weights, or measure what a cut would cost, of the version on screen."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import Tensor, nn

from prunescope.core import DependencyGraph, score, trace
from prunescope.core.errors import BadInput, BadPlan
from prunescope.core.evidence import Loss
from prunescope.core.importance import Scores
from prunescope.core.recovery import Epoch, distilled, fine_tune, no_logits
from prunescope.core.recovery import recalibrate as measure_statistics
from prunescope.core.schedule import prune_in_steps
from prunescope.core.sensitivity import Cut, sensitivity
from prunescope.core.sparsity import GroupSparsity
from prunescope.core.timing import Cancel
from prunescope.explorer.jobs import JobState, Point, Progress, Pull
from prunescope.explorer.session import ORIGINAL, Session
from prunescope.explorer.version import Sweep

Tell: TypeAlias = Callable[[Point, int], None]  # after each epoch: what is known, and of how many epochs
Recovery: TypeAlias = Callable[[nn.Module, Tell, Cancel], None]  # trains a model in place

EPOCHS = 5
STRENGTH = 5e-4
_FADED = 0.01  # of the largest importance of its group


def unteachable(session: Session) -> str:
    """Why no version can learn from the original's answers; "" where one can."""
    if not session.has_data:
        return "there are no batches and no loss to train with; a train function does all by itself"
    shapes = session.versions[ORIGINAL].graph.record.output_shapes
    return no_logits(shapes[0]) if shapes else ""


def tune(session: Session, epochs: int = EPOCHS, taught: bool = False) -> JobState:
    """Fine-tune a copy of the version on screen with the user's `train`, else on the batches, and measure it.

    Args:
        session: Its batches and loss are what is trained with, where it has no `train` or `taught` is set.
        epochs: On the batches; `train` has its own.
        taught: Let it learn from the original's answers too.

    Raises:
        BadInput: the session has nothing to train with, or what the model returns cannot teach.
    """
    base, recover = session.version, _recovery(session, epochs, taught)

    def work(progress: Progress) -> None:
        def tell(point: Point, of: int) -> None:
            progress.point(point)
            progress.step(_epoch_text(point), point.epoch, of)

        progress.step("starting to train")
        model = copy.deepcopy(base.model)
        recover(model, tell, progress.cancelled)
        session.add_trained(base, f"{base.name}, {'taught' if taught else 'tuned'}", model, progress)

    return session.jobs.submit(f"Fine-tune {base.name}", work)


def in_steps(
    session: Session, steps: int, epochs: int, taught: bool, name: str, criterion: str, options: Mapping[str, Any]
) -> JobState:
    """Cut the version on screen in steps, each traced, rated and verified anew; each makes a version.

    Args:
        session: What is recovered with is chosen as in `tune`.
        steps: How many cuts at most.
        epochs: Of fine-tuning after each cut; 0 for none.
        taught: Let each learn from the original's answers too.
        name: Of the cut, for the screen.
        criterion: Rates the units of each step.
        options: As `plan` takes them, the target among them.

    Raises:
        BadInput: as `tune` does, where there are epochs.
    """
    base, recover = session.version, _recovery(session, epochs, taught) if epochs else None

    def rate(graph: DependencyGraph) -> Scores:
        return score(graph, criterion, batches=session.batches, loss=session.loss)

    def work(progress: Progress) -> None:
        told, at = itertools.count(1), base
        progress.step(f"step 1 of {steps}: cutting and verifying")
        made = prune_in_steps(base.model, session.example_inputs, steps, rate=rate, **options)
        for step in made:
            title = f"step {step.number} of {steps}"

            def tell(point: Point, of: int, title: str = title, done: int = step.number - 1) -> None:
                progress.point(replace(point, epoch=next(told)))
                progress.step(f"{title}, {_epoch_text(point)}", done, steps)

            if recover is not None:
                progress.step(f"{title}: starting to train", step.number - 1, steps)
                # before the next step is cut from it, which is done when the loop goes on
                recover(step.pruned.model, tell, progress.cancelled)
            at = session.add_trained(at, f"{name}, {title}", step.pruned.model, progress, step.pruned)
            progress.step(f"{title}: done", step.number, steps)
        if at is base:
            raise BadPlan(
                asked=f"{name} in {steps} steps",
                found="no step removes a unit",
                where=f"groups of {base.name}",
                what_to_do="choose a larger cut",
            )

    return session.jobs.submit(f"{name} in {steps} steps", work)


def sparsify(session: Session, epochs: int = EPOCHS, strength: float = STRENGTH) -> JobState:
    """Train a copy of the version on screen with group sparsity, and measure it.

    Raises:
        BadInput: the session has no batches or no loss.
    """
    base, (batches, loss) = session.version, _data(session, "train sparsely")

    def work(progress: Progress) -> None:
        progress.step("starting to train")
        model = copy.deepcopy(base.model)
        sparsity = GroupSparsity(trace(model, session.example_inputs), strength)

        def report(epoch: Epoch, of: int) -> None:
            found = pulls(sparsity)
            faded = _faded_of_all(sparsity, found)
            progress.point(Point(epoch.number, epoch.loss, epoch.accuracy, faded, found))
            progress.step(f"epoch {epoch.number}: loss {epoch.loss:.3f}", epoch.number, of)

        fine_tune(
            model,
            batches,
            loss,
            epochs,
            evaluate=session.evaluate,
            regularise=sparsity.regularise,
            before_epoch=sparsity.update,
            report=report,
            cancel=progress.cancelled,
        )
        session.add_trained(base, f"{base.name}, sparse", model, progress)

    return session.jobs.submit(f"Train sparsely: {base.name}", work)


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
        session.add_trained(base, f"{base.name}, recalibrated", model, progress)

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
        cuts: list[Cut] = []

        def report(cut: Cut, done: int, of: int) -> None:
            cuts.append(cut)
            session.keep_sweep(version.id, Sweep(criterion, tuple(cuts)))
            progress.step(f"{cut.group}, {cut.ratio:.0%} cut", done, of)

        session.keep_sweep(version.id, Sweep(criterion))
        progress.step("measuring the uncut model")
        found = sensitivity(version.graph, scores, evaluate, report=report, cancel=progress.cancelled)
        session.keep_sweep(version.id, Sweep(criterion, found.cuts, found.original))

    return session.jobs.submit(f"Sensitivity of {version.name}", work)


def _recovery(session: Session, epochs: int, taught: bool) -> Recovery:
    """What trains a model in place: the user's `train`, or the batches."""
    train = session.train
    if not session.can_tune:
        raise BadInput(
            asked=f"fine-tune {session.version.name}",
            found="there is no train function for this model, and no data",
            where="this session",
            what_to_do="give one: explore(model, example_inputs, train=train) with train(model, report), or "
            "batches=batches and loss=loss with loss(model, batch)",
        )
    if train is not None and not taught:

        def by_user(model: nn.Module, tell: Tell, cancel: Cancel) -> None:
            train(model, lambda epoch, of, loss, accuracy: tell(Point(epoch, loss, accuracy, None), of))

        return by_user
    if taught:
        _check_teachable(session)
    batches, loss = _data(session, "fine-tune")
    if taught:
        loss = distilled(loss, session.versions[ORIGINAL].model)

    def on_batches(model: nn.Module, tell: Tell, cancel: Cancel) -> None:
        def report(epoch: Epoch, of: int) -> None:
            tell(Point(epoch.number, epoch.loss, epoch.accuracy, None), of)

        fine_tune(model, batches, loss, epochs, evaluate=session.evaluate, report=report, cancel=cancel)

    return on_batches


def _check_teachable(session: Session) -> None:
    problem = unteachable(session)
    if problem:
        raise BadInput(
            asked=f"let {session.version.name} learn from the original's answers",
            found=problem,
            where="this session",
            what_to_do="in your own loop, prunescope.core.recovery.distilled takes logits=, which finds them in any "
            "output",
        )


def _epoch_text(point: Point) -> str:
    accuracy = "" if point.accuracy is None else f", accuracy while training {point.accuracy:.1%}"
    return f"epoch {point.epoch}: loss {point.loss:.3f}{accuracy}"


def _data(session: Session, what: str) -> tuple[Sequence[Any], Loss]:
    if session.batches is not None and session.loss is not None:
        return session.batches, session.loss
    raise BadInput(
        asked=f"{what}: {session.version.name}",
        found="there is nothing to train on",
        where="this session",
        what_to_do="give data: explore(model, example_inputs, batches=batches, loss=loss) with loss(model, batch)",
    )


def pulls(sparsity: GroupSparsity) -> tuple[Pull, ...]:
    """What the last update of the penalty found of each group."""
    last = [penalty for penalty in sparsity.history if penalty.update == sparsity.history[-1].update]
    return tuple(Pull(p.group, _faded(p.importance), float(p.importance.sum()), float(p.gamma.mean())) for p in last)


def _faded(importance: Tensor) -> float:
    return float((importance < _FADED * importance.max()).float().mean())


def _faded_of_all(sparsity: GroupSparsity, found: Sequence[Pull]) -> float:
    """The share of the units of all groups."""
    sizes = [group.size for group in sparsity.groups]
    return sum(size * pull.faded for size, pull in zip(sizes, found, strict=True)) / max(sum(sizes), 1)
