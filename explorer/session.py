"""A session: the original model and every version that was cut from it, as a tree."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from prunescope.core import Plan, Pruned, plan, prune, score, trace
from prunescope.core.cost import ledger
from prunescope.core.criteria import criterion_named
from prunescope.core.errors import BadInput, PrunescopeError
from prunescope.core.evidence import INPUT_NORMS, Evidence, Loss, gathered
from prunescope.core.graph import Side
from prunescope.core.importance import Scores
from prunescope.core.latency import LatencyModel, fit_latency
from prunescope.core.measure import Evaluate, accuracy, size_bytes
from prunescope.core.timing import latency
from prunescope.explorer.jobs import Jobs, JobState, Progress
from prunescope.explorer.predictions import examples_of, predicted_classes
from prunescope.explorer.store import Store, Stored
from prunescope.explorer.version import File, Selection, Sweep, Version, measured, sweep_again, version_record

ORIGINAL = 0
LATENCY_ROUNDS = 10
FITTED_RATIOS = (0.25, 0.5, 0.75)  # cuts that are timed to learn to predict latency


class Session:
    """The versions of one model, and which of them is on screen. Every method may be called from any thread."""

    def __init__(  # noqa: PLR0913  all that a session may be given, each a choice of its own
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
        examples: Any = None,
        origin: str = "",
        executor: Executor | None = None,
        store: Store | None = None,
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
            examples: (inputs, labels) or (inputs, labels, names), to compare predictions on; see `examples_of`.
            origin: Python code that sets `model` and `example_inputs` to the original and its inputs; "" if unknown.
            executor: Runs the jobs.
            store: Where the session is kept; what was kept there before is there again. Nothing is written if None.

        Raises:
            TraceFailed: the model does not run on the inputs.
            BadInput: `examples` has another form, or what the store holds is damaged.
        """
        self.examples = examples_of(examples)
        self.example_inputs = example_inputs
        self.evaluate = evaluate
        self.train = train
        self.batches = batches
        self.loss = loss
        self.title = title or type(model).__name__
        self.note = note
        self.origin = origin
        self.jobs = Jobs(executor)
        self.url = ""  # where its page is, once there is one
        self.opened: tuple[str, ...] = ()  # modules that are open on the page
        self.files: list[File] = []  # what was exported on the page
        self._lock = threading.RLock()
        self._redo: dict[int, int] = {}
        self._scores: dict[tuple[int, str], Scores] = {}
        self._sweeps: dict[int, Sweep] = {}
        self._predictions: dict[int, Tensor] = {}
        self._latency_models: dict[int, LatencyModel] = {}
        self._evidence: dict[tuple[int, str | None], Evidence] = {}
        self._revision = 0
        self._selection: Selection | None = None
        self._wanted: Selection | None = None
        self._waits_for_page = False
        self._versions = [self._version(ORIGINAL, None, "original", model, None)]
        self._current = ORIGINAL
        self._store = store
        if store is not None:
            self._restore(store)

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
        """What is selected, by a click on the page or by `select`."""
        return self._selection

    @property
    def wanted(self) -> Selection | None:
        """What `select` has asked the page to show."""
        return self._wanted

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
            self._selection = self._wanted = Selection(layer, side)
            self._revision += 1
        return Selection(layer, side)

    def clicked(self, layer: str | None, side: Side = "out") -> None:
        """The person has selected a layer of the version on screen on the page, or nothing."""
        self._selection = Selection(layer, side) if layer else None

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

    def sweep(self, version: int | None = None) -> Sweep | None:
        """What the last sweep of a version (the one on screen if None) has found so far; None before the first."""
        return self._sweeps.get(self.version.id if version is None else version)

    def keep_sweep(self, version: int, sweep: Sweep) -> None:
        """Keep what a sweep of this version has found so far."""
        with self._lock:
            self._sweeps[version] = sweep
            self._changed()

    def add_trained(
        self, base: Version, name: str, model: nn.Module, progress: Progress, pruned: Pruned | None = None
    ) -> Version:
        """Put a trained model on screen as a version, and measure it, in a job.

        Args:
            base: What it was made from.
            name: Of the new version.
            model: Of the base's structure, or what `pruned` made of it, with new weights.
            progress: Of the job.
            pruned: The cut of the base that the training began with; None where there was none.
        """
        made = self._add(base, name, model, pruned)
        self._measure(made.id, progress)
        return self.versions[made.id]

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

    def fit_latency(self) -> JobState:
        """Time some cuts of the version on screen beside it, in the background, and keep the model of its latency."""
        version = self.version
        made = score(version.graph)
        cuts = [plan(version.graph, made, ratio) for ratio in FITTED_RATIOS]
        graph = version.graph

        def work(progress: Progress) -> None:
            progress.step(f"timing {len(cuts)} cuts beside {version.name}")
            removed = [{graph.group(r.group).index: r.units for r in cut.removals} for cut in cuts]
            self._latency_models[version.id] = fit_latency(graph, removed)[0]
            with self._lock:
                self._revision += 1

        return self.jobs.submit("Learn to predict latency", work)

    def latency_model(self) -> LatencyModel | None:
        """What predicts the latency of cuts of the version on screen; None before `fit_latency`."""
        return self._latency_models.get(self.version.id)

    def add_file(self, file: File) -> None:
        """Keep a file for the page to fetch."""
        with self._lock:
            self.files.append(file)
            self._revision += 1

    def export(self, path: str | Path, version: int | None = None) -> Path:
        """Write a version (the one on screen if None): .safetensors, .plan.json, .py, .onnx, .pt2, .html, .svg, .png.

        Raises:
            BadInput: no kind of file has the path's ending, or there is no such version.
            ExportFailed: the file cannot be made, or does not pass its check.
        """
        from prunescope.explorer.export import export

        return export(self, path, version)

    def rename(self, version: int, name: str) -> None:
        """Give a version another name; an empty one changes nothing."""
        if name.strip():
            self._change(version, name=name.strip())

    def annotate(self, version: int, note: str) -> None:
        """Keep what the person says of a version."""
        self._change(version, note=note.strip())

    def predictions(self, version: int) -> Tensor:
        """(N,) the class that a version gives each of the examples, found once.

        Raises:
            BadInput: there are no examples, or they do not fit the model.
        """
        if self.examples is None:
            raise BadInput(
                asked="what a version predicts",
                found="the session has no labelled examples",
                where="argument examples",
                what_to_do="open it with explore(..., examples=(inputs, labels))",
            )
        if version not in self._predictions:
            self._predictions[version] = predicted_classes(self.versions[version].model, self.examples)
        return self._predictions[version]

    def _show(self, version: int) -> None:
        self._current = version
        self._changed()

    def _changed(self) -> None:
        """What the page shows is another, and so is what is kept."""
        self._revision += 1
        if self._store is not None:
            sweeps = {str(number): asdict(sweep) for number, sweep in self._sweeps.items()}
            self._store.write(Stored([version_record(version) for version in self._versions], self._current, sweeps))

    def _restore(self, store: Store) -> None:
        """Make the versions that were kept again, with their weights and what was measured of them."""
        stored = store.read()
        for record in stored.versions if stored else ():
            number, parent = record["id"], record["parent"]
            if parent is not None:
                self._versions.append(self._version_again(store, number, self._versions[parent]))
            self._versions[number] = replace(self._versions[number], **measured(record))
            if parent is not None:
                self._redo[parent] = number
        if stored:
            self._sweeps = {int(number): sweep_again(sweep) for number, sweep in stored.sweeps.items()}
            self._current = stored.current if 0 <= stored.current < len(self._versions) else ORIGINAL

    def _version_again(self, store: Store, number: int, parent: Version) -> Version:
        made = store.plan(number)
        if made is None:
            pruned, model = None, copy.deepcopy(parent.model)
        else:
            pruned = prune(parent.model, made, example_inputs=self.example_inputs, verify=False)
            model = pruned.model
        store.load(number, model)
        return self._version(number, parent.id, "", model, pruned)

    def _apply(self, base: Version, plan: Plan, name: str, progress: Progress | None) -> Version:
        tell: Callable[[str], None] = progress.step if progress else lambda text: None
        tell("cutting and verifying")
        pruned = prune(base.model, plan, example_inputs=self.example_inputs)
        tell("tracing the pruned model")
        return self._add(base, name or f"cut {len(self._versions)}", pruned.model, pruned)

    def _add(self, base: Version, name: str, model: nn.Module, pruned: Pruned | None) -> Version:
        with self._lock:
            made = self._version(len(self._versions), base.id, name, model, pruned)
            if self._store is not None:
                self._store.add(made.id, model, pruned.plan if pruned else None)
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
            self._changed()


def plans_from_original(session: Session, version: Version) -> Sequence[Plan]:
    """The plans that make this version of the original, in the order in which they are applied."""
    plans: list[Plan] = []
    at = version
    while at.parent is not None:
        if at.pruned is not None:
            plans.append(at.pruned.plan)
        at = session.versions[at.parent]
    return plans[::-1]
