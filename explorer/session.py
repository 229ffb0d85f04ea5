"""A session: the original model and every version that was cut from it, as a tree."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from prunescope.core import DependencyGraph, Plan, Pruned, prune, score, trace
from prunescope.core.cost import ledger
from prunescope.core.errors import BadInput, PrunescopeError
from prunescope.core.evidence import INPUT_NORMS, Evidence, Loss, gathered
from prunescope.core.graph import Side
from prunescope.core.importance import Scores, criterion_named
from prunescope.core.measure import Evaluate, Latency, accuracy, latency, size_bytes
from prunescope.core.recovery import Epoch, fine_tune, recalibrate
from prunescope.core.sensitivity import Cut, sensitivity
from prunescope.core.sparsity import GroupSparsity
from prunescope.explorer.jobs import Jobs, JobState, Point, Progress

ORIGINAL = 0
LATENCY_ROUNDS = 10
EPOCHS = 5
STRENGTH = 5e-4
_FADED = 0.01  # of the largest importance of its group


@dataclass(frozen=True)
class Version:
    """One model of the session: the original, or what a plan made of another version."""

    id: int
    parent: int | None  # id of the version that it was cut from; None for the original
    name: str
    model: nn.Module = field(repr=False)
    graph: DependencyGraph = field(repr=False)
    pruned: Pruned | None = field(repr=False)  # what `prune` gave; None for the original and for fine-tuned versions
    parameters: int
    macs: int  # multiply-accumulates on the example inputs
    bytes: int
    accuracy: float | None = None  # None where it has not been measured
    latency: Latency | None = None
    problem: str = ""  # why a measurement failed, "" where none did


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person has clicked, or `Session.select` has chosen."""

    layer: str
    side: Side


class Session:
    """The versions of one model, and which of them is on screen. Every method may be called from any thread."""

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Any,
        *,
        evaluate: Evaluate | None = None,
        train: Callable[..., None] | None = None,
        batches: Sequence[Any] | None = None,
        loss: Loss | None = None,
        title: str = "",
        note: str = "",
        executor: Executor | None = None,
    ) -> None:
        """Trace the model; nothing is measured before `start`.

        Args:
            model: Never changed.
            example_inputs: As `trace` takes them.
            evaluate: `evaluate(model)`, higher is better.
            train: `train(model, report)`, fine-tunes in place.
            batches: What `loss` takes: training data for the criteria that need some, and for training here.
            loss: `loss(model, batch)`, a scalar or one number for each example.
            title: What the page calls the model.
            note: What the person should know about it.
            executor: Runs the jobs.

        Raises:
            TraceFailed: the model does not run on the inputs.
        """
        self.example_inputs = example_inputs
        self.evaluate = evaluate
        self.train = train
        self.batches = batches
        self.loss = loss
        self.title = title or type(model).__name__
        self.note = note
        self.jobs = Jobs(executor)
        self.url = ""  # where its page is, once there is one
        self._lock = threading.RLock()
        self._redo: dict[int, int] = {}
        self._scores: dict[tuple[int, str], Scores] = {}
        self._cuts: dict[int, list[Cut]] = {}
        self._evidence: dict[tuple[int, str | None], Evidence] = {}
        self._revision = 0
        self._selection: Selection | None = None
        self._waits_for_page = False
        self._versions = [self._version(ORIGINAL, None, "original", model, None)]
        self._current = ORIGINAL

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions, the original first."""
        with self._lock:
            return tuple(self._versions)

    @property
    def version(self) -> Version:
        """The version on screen."""
        with self._lock:
            return self._versions[self._current]

    @property
    def model(self) -> nn.Module:
        """The model of the version on screen."""
        return self.version.model

    @property
    def revision(self) -> int:
        """A number that grows whenever anything that the page shows has changed."""
        return self._revision

    @property
    def selection(self) -> Selection | None:
        return self._selection

    @property
    def last_job(self) -> JobState | None:
        """The job that runs or waits, else the last one that did."""
        return next(iter((*self.jobs.active, *reversed(self.jobs.states))), None)

    def start(self) -> JobState:
        """Measure the original in the background."""
        return self.jobs.submit("Measure the original", lambda progress: self._measure(ORIGINAL, progress))

    def start_when_seen(self) -> None:
        """Measure the original once a page has been painted: before, the two would compete for the processor."""
        self._waits_for_page = True

    def seen(self) -> None:
        """A page has been painted."""
        with self._lock:
            waited, self._waits_for_page = self._waits_for_page, False
        if waited:
            self.start()

    def select(self, layer: str, side: Side = "out") -> Selection:
        """Select a layer's output side, or its input side.

        Raises:
            BadInput: the version on screen has no layer of that name.
        """
        self.version.graph.groups_of(layer, side)
        with self._lock:
            self._selection = Selection(layer, side)
            self._revision += 1
        return Selection(layer, side)

    def can_rate(self, criterion: str) -> bool:
        """Whether the session has the data that the criterion needs."""
        needs = criterion_named(criterion).needs
        return needs is None or (self.batches is not None and (self.loss is not None or needs == INPUT_NORMS))

    def scores(self, criterion: str = "magnitude") -> Scores:
        """The scores of the version on screen, computed once for each criterion."""
        version = self.version
        key = (version.id, criterion)
        if key not in self._scores:
            self._scores[key] = score(version.graph, criterion, evidence=self.evidence(criterion))
        return self._scores[key]

    def evidence(self, criterion: str) -> Evidence:
        """What the data says of the version on screen, as the criterion needs it, gathered once.

        Raises:
            BadInput: the session has no batches or no loss, or they do not fit the model.
        """
        version, chosen = self.version, criterion_named(criterion)
        key = (version.id, chosen.needs)
        if key not in self._evidence:
            asked = f"scores by {chosen.label}"
            self._evidence[key] = gathered(version.graph, chosen.needs, self.batches, self.loss, asked=asked)
        return self._evidence[key]

    def apply(self, plan: Plan, name: str = "") -> Version:
        """Cut the version on screen by a plan made for it; the verified result is the new version on screen.

        Raises:
            BadPlan: the plan was made for another version.
            VerificationFailed: the cut was not exact; the session is as it was.
        """
        return self._apply(self.version, plan, name, None)

    def apply_in_background(self, plan: Plan | Callable[[], Plan], name: str = "") -> JobState:
        """`apply`, then measure accuracy and latency, as a job; a plan that takes time to make is made in it too."""
        base = self.version

        def work(progress: Progress) -> None:
            if callable(plan):
                progress.step("timing cuts")
            made = self._apply(base, plan() if callable(plan) else plan, name, progress)
            self._measure(made.id, progress)

        return self.jobs.submit(name or "Apply the cut", work)

    @property
    def has_data(self) -> bool:
        """Whether there are batches and a loss to train on."""
        return self.batches is not None and self.loss is not None

    @property
    def can_tune(self) -> bool:
        return self.train is not None or self.has_data

    def tune_in_background(self, epochs: int = EPOCHS) -> JobState:
        """Fine-tune a copy of the version on screen, as a job, with the user's `train`, else on the batches.

        Raises:
            BadInput: the session has neither `train` nor batches and loss.
        """
        base, train = self.version, self.train
        if not self.can_tune:
            raise BadInput(
                asked=f"fine-tune {base.name}",
                found="there is no train function for this model, and no data",
                where="this session",
                what_to_do="give one: explore(model, example_inputs, train=train) with train(model, report), or "
                "batches=batches and loss=loss with loss(model, batch)",
            )
        if train is None:
            return self._train_in_background("Fine-tune", "tuned", epochs, None)

        def work(progress: Progress) -> None:
            model = copy.deepcopy(base.model)

            def report(epoch: int, of: int, loss: float, accuracy: float) -> None:
                progress.point(Point(epoch, loss, accuracy, None))
                progress.step(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.1%}", epoch, of)

            progress.step("starting to train")
            train(model, report)
            made = self._add(base, f"{base.name}, tuned", model, None)
            self._measure(made.id, progress)

        return self.jobs.submit(f"Fine-tune {base.name}", work)

    def sparsify_in_background(self, epochs: int = EPOCHS, strength: float = STRENGTH) -> JobState:
        """Train a copy of the version on screen with group sparsity, as a job, and measure it.

        Raises:
            BadInput: the session has no batches or no loss, or the strength is negative.
        """
        return self._train_in_background("Train sparsely", "sparse", epochs, strength)

    def recalibrate_in_background(self) -> JobState:
        """Measure the normalisation statistics of a copy of the version on screen anew, as a job.

        Raises:
            BadInput: the session has no batches or no loss.
        """
        base, (batches, loss) = self.version, self._data("measure normalisation statistics anew")

        def work(progress: Progress) -> None:
            model = copy.deepcopy(base.model)
            progress.step("measuring normalisation statistics")
            if not recalibrate(model, batches, loss):
                raise BadInput(
                    asked=f"measure normalisation statistics of {base.name} anew",
                    found="no layer of this model keeps running statistics",
                    where=type(model).__name__,
                    what_to_do="fine-tune it instead",
                )
            made = self._add(base, f"{base.name}, recalibrated", model, None)
            self._measure(made.id, progress)

        return self.jobs.submit(f"Recalibrate {base.name}", work)

    def _train_in_background(self, title: str, suffix: str, epochs: int, strength: float | None) -> JobState:
        base, (batches, loss) = self.version, self._data(title.lower())

        def work(progress: Progress) -> None:
            progress.step("starting to train")
            model = copy.deepcopy(base.model)
            sparsity = None if strength is None else GroupSparsity(trace(model, self.example_inputs), strength)

            def report(epoch: Epoch, of: int) -> None:
                progress.point(Point(epoch.number, epoch.loss, epoch.accuracy, faded(sparsity) if sparsity else None))
                progress.step(f"epoch {epoch.number}: loss {epoch.loss:.3f}", epoch.number, of)

            fine_tune(
                model,
                batches,
                loss,
                epochs,
                evaluate=self.evaluate,
                regularise=sparsity.regularise if sparsity else None,
                before_epoch=sparsity.update if sparsity else None,
                report=report,
                cancel=progress.cancelled,
            )
            made = self._add(base, f"{base.name}, {suffix}", model, None)
            self._measure(made.id, progress)

        return self.jobs.submit(f"{title}: {base.name}", work)

    def _data(self, what: str) -> tuple[Sequence[Any], Loss]:
        if self.batches is not None and self.loss is not None:
            return self.batches, self.loss
        raise BadInput(
            asked=f"{what}: {self.version.name}",
            found="there is nothing to train on",
            where="this session",
            what_to_do="give data: explore(model, example_inputs, batches=batches, loss=loss) with loss(model, batch)",
        )

    def sensitivity(self) -> tuple[Cut, ...]:
        """What the sweeps of the version on screen have found so far."""
        return tuple(self._cuts.get(self.version.id, ()))

    def sweep_in_background(self, criterion: str = "magnitude") -> JobState:
        """Measure the accuracy of cutting each group of the version on screen alone, as a job.

        Raises:
            BadInput: the session has no `evaluate`.
        """
        version, scores, evaluate = self.version, self.scores(criterion), self.evaluate
        if evaluate is None:
            raise BadInput(
                asked=f"sweep the sensitivity of {version.name}",
                found="there is no evaluate function for this model",
                where="this session",
                what_to_do="give one: explore(model, example_inputs, evaluate=evaluate) with evaluate(model) -> number",
            )

        def work(progress: Progress) -> None:
            self._cuts[version.id] = []

            def report(cut: Cut, done: int, of: int) -> None:
                with self._lock:
                    self._cuts[version.id].append(cut)
                    self._revision += 1
                progress.step(f"{cut.group}, {cut.ratio:.0%} cut", done, of)

            progress.step("measuring the uncut model")
            sensitivity(version.graph, scores, evaluate, report=report, cancel=progress.cancelled)

        return self.jobs.submit(f"Sensitivity of {version.name}", work)

    def measure(self, version: int | None = None) -> Version:
        """Measure accuracy and latency of a version (the one on screen if None) beside the original, now."""
        chosen = self.version.id if version is None else version
        self._measure(chosen, Progress(lambda step, done, of: None))
        return self.versions[chosen]

    def undo(self) -> Version:
        """Show the version that the one on screen was cut from; the original stays."""
        with self._lock:
            parent = self.version.parent
            if parent is not None:
                self._redo[parent] = self._current
                self._show(parent)
            return self.version

    def redo(self) -> Version:
        """Show the version that `undo` left, or the last one cut from the version on screen."""
        with self._lock:
            child = self._redo.get(self._current)
            if child is not None:
                self._show(child)
            return self.version

    @property
    def can_undo(self) -> bool:
        return self.version.parent is not None

    @property
    def can_redo(self) -> bool:
        return self._current in self._redo

    def show(self, version: int) -> Version:
        """Put a version on screen.

        Raises:
            BadInput: there is no such version.
        """
        with self._lock:
            if not 0 <= version < len(self._versions):
                raise BadInput(
                    asked=f"show version {version}",
                    found=f"the session has versions 0 to {len(self._versions) - 1}",
                    where="argument version",
                    what_to_do="choose one of session.versions",
                )
            self._show(version)
            return self.version

    def _show(self, version: int) -> None:
        self._current = version
        self._revision += 1

    def _apply(self, base: Version, plan: Plan, name: str, progress: Progress | None) -> Version:
        tell: Callable[[str], None] = progress.step if progress else lambda text: None
        tell("cutting and verifying")
        pruned = prune(base.model, plan, example_inputs=self.example_inputs)
        tell("tracing the pruned model")
        return self._add(base, name or f"cut {len(self._versions)}", pruned.model, pruned)

    def _add(self, base: Version, name: str, model: nn.Module, pruned: Pruned | None) -> Version:
        with self._lock:
            made = self._version(len(self._versions), base.id, name, model, pruned)
            self._versions.append(made)
            self._redo[base.id] = made.id
            self._show(made.id)
        return made

    def _version(self, number: int, parent: int | None, name: str, model: nn.Module, pruned: Pruned | None) -> Version:
        graph = trace(model, self.example_inputs)
        cost = ledger(graph).cost({})
        return Version(
            id=number,
            parent=parent,
            name=name,
            model=model,
            graph=graph,
            pruned=pruned,
            parameters=cost.parameters,
            macs=cost.macs,
            bytes=size_bytes(model),
        )

    def _measure(self, number: int, progress: Progress) -> None:
        """Accuracy first, it is what people wait for; then latency, interleaved with the original's."""
        version = self.versions[number]
        problem = ""
        try:
            if self.evaluate is not None:
                progress.step(f"measuring the accuracy of {version.name}")
                self._change(number, accuracy=accuracy(version.model, self.evaluate, version.name))
        except PrunescopeError as error:
            problem = str(error)
        numbers = sorted({ORIGINAL, number})
        step = f"measuring the latency of {version.name}"
        progress.step(step, 0, LATENCY_ROUNDS)
        times = latency(
            [self.versions[n].model for n in numbers],
            self.example_inputs,
            rounds=LATENCY_ROUNDS,
            progress=lambda done, of: progress.step(step, done, of),
            cancel=progress.cancelled,
        )
        for n, time in zip(numbers, times, strict=True):
            self._change(n, latency=time)
        self._change(number, problem=problem)

    def _change(self, number: int, **changes: Any) -> None:
        with self._lock:
            self._versions[number] = replace(self._versions[number], **changes)
            self._revision += 1


def faded(sparsity: GroupSparsity) -> float:
    """The share of all units whose importance is under a hundredth of their group's largest."""
    last = [penalty for penalty in sparsity.history if penalty.update == sparsity.history[-1].update]
    low = sum(int((p.importance < _FADED * p.importance.max()).sum()) for p in last)
    return low / max(sum(len(p.importance) for p in last), 1)


def weights(version: Version) -> dict[str, Tensor]:
    """The version's tensors by name, each its own memory, as safetensors wants them."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in version.model.state_dict().items():
        own = tensor.detach().cpu().contiguous()
        kept[name] = own.clone() if own.data_ptr() in seen else own
        seen.add(own.data_ptr())
    return kept


def plans_from_original(session: Session, version: Version) -> Sequence[Plan]:
    """The plans that make this version of the original, in the order in which they are applied."""
    plans: list[Plan] = []
    at = version
    while at.parent is not None:
        if at.pruned is not None:
            plans.append(at.pruned.plan)
        at = session.versions[at.parent]
    return plans[::-1]
