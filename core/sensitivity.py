"""How much each group can lose by itself: accuracy after cutting it alone, at several ratios, without retraining."""

from __future__ import annotations

import hashlib
import json
import pickle
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from torch import nn

from prunescope.core.cost import Quantity, ledger
from prunescope.core.errors import BadInput, BadPlan, MeasurementFailed, PrunescopeError
from prunescope.core.graph import DependencyGraph
from prunescope.core.importance import Scores
from prunescope.core.measure import Evaluate, accuracy
from prunescope.core.plan import Plan, cut_groups, fingerprint
from prunescope.core.surgery import prune
from prunescope.core.targets import plan
from prunescope.core.timing import Cancel

if TYPE_CHECKING:
    import pandas as pd

RATIOS = (0.125, 0.25, 0.5, 0.75, 0.9)
_SLACK = 1e-9  # a share of 0.29 of 100 units is 29 of them, whatever binary fractions say


@dataclass(frozen=True, slots=True)
class Cut:
    """One group cut by itself."""

    group: str  # its name
    ratio: float  # share of its units, the least important first
    accuracy: float | None  # None where it could not be measured
    problem: str = ""  # why not


Report: TypeAlias = Callable[[Cut, int, int], None]
"""`report(cut, done, of)`: called as each result comes, also for those that were known already."""


@dataclass(frozen=True)
class Sensitivity:
    """What a sweep found."""

    original: float  # accuracy of the uncut model
    cuts: tuple[Cut, ...] = field(repr=False)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cut.group for cut in self.cuts))

    def curve(self, group: str) -> tuple[tuple[float, float], ...]:
        """(ratio, accuracy) of a group, by ratio, the uncut model first; without what could not be measured."""
        found = sorted((c.ratio, c.accuracy) for c in self.cuts if c.group == group and c.accuracy is not None)
        return ((0.0, self.original), *found)

    def ratio(self, group: str, loss: float) -> float:
        """The largest ratio up to which the group's curve, taken as straight between its points, loses at most this."""
        allowed = self.original - loss
        for (low, above), (high, below) in pairwise(self.curve(group)):
            if below < allowed:
                return low + (high - low) * (above - allowed) / (above - below) if above > allowed else low
        return self.curve(group)[-1][0]

    def table(self) -> pd.DataFrame:
        """Accuracy: a row for each group, a column for each ratio; NaN where it could not be measured."""
        import pandas as pd

        rows = pd.DataFrame([asdict(cut) for cut in self.cuts], columns=["group", "ratio", "accuracy", "problem"])
        found = rows.pivot(index="group", columns="ratio", values="accuracy").astype(float)
        return found.reindex(index=pd.Index(self.groups, name="group"))


def sensitivity(
    graph: DependencyGraph,
    scores: Scores,
    evaluate: Evaluate,
    *,
    ratios: Sequence[float] = RATIOS,
    groups: Sequence[str] | None = None,
    kind: str | None = None,
    executor: Executor | None = None,
    file: str | Path | None = None,
    report: Report | None = None,
    cancel: Cancel | None = None,
) -> Sensitivity:
    """Cut each group alone at several ratios, and measure the accuracy of each result.

    Args:
        graph: A traced model.
        scores: What `score` gave for this graph: the least important units go.
        evaluate: Higher is better. Better on a validation split than on the test set: it chooses.
        ratios: Shares of a group's units, over 0 and under 1.
        groups: Names of the groups; all that can be cut if None.
        kind: Which way where there are two, as in `plan`.
        executor: Any executor of `concurrent.futures`, for example
            `ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,))`, or of Dask
            (`Client(...).get_executor()`); model, inputs and `evaluate` are pickled for it. In this thread if None.
        file: Where each result is written as it comes. Where it exists, what it has is not measured again.
        report: Called as each result comes.
        cancel: Asked between results.

    Raises:
        BadInput: a ratio is out of range, the file is of another model, or the model or `evaluate` cannot be pickled.
        MeasurementFailed: `evaluate` failed on the original, or a worker died. What was measured is in the file.
        concurrent.futures.CancelledError: `cancel` returned True. What was measured is in the file.
    """
    _check_ratios(ratios)
    plans = {
        (group.name, ratio): plan(graph, scores, ratio, groups=[group.name])
        for group in cut_groups(graph, groups, kind)
        for ratio in ratios
    }
    plans = {key: made for key, made in plans.items() if made.removals}
    log = _Log(Path(file) if file is not None else None, _digest(graph, scores))
    known = {(cut.group, cut.ratio): cut for cut in log.cuts if (cut.group, cut.ratio) in plans}
    original = log.original if log.original is not None else log.begin(accuracy(graph.model, evaluate, "original"))
    for done, cut in enumerate(known.values(), start=1):
        if report is not None:
            report(cut, done, len(plans))
    wanted = {key: made for key, made in plans.items() if key not in known}
    for cut in _measured(graph, wanted, evaluate, executor, cancel):
        log.add(cut)
        known[cut.group, cut.ratio] = cut
        if report is not None:
            report(cut, len(known), len(plans))
    return Sensitivity(original, tuple(known[key] for key in plans))


def allocated(
    graph: DependencyGraph,
    scores: Scores,
    found: Sensitivity,
    *,
    macs: float | None = None,
    parameters: float | None = None,
    bytes: float | None = None,
    **options: Any,
) -> Plan:
    """The plan in which every group loses as much as costs each the same accuracy, until a target is met.

    Args:
        graph: The traced model that was swept.
        scores: Those of the sweep.
        found: What `sensitivity` gave.
        macs, parameters, bytes: One of them: what is to be left at most, as a share of the original's.
        options: As `plan` takes them: round_to, floor, ceiling, protect.

    Raises:
        BadPlan: not exactly one target is given, or the ratios that were swept do not reach it.
    """
    targets: dict[Quantity, float | None] = {"macs": macs, "parameters": parameters, "bytes": bytes}
    given = {name: share for name, share in targets.items() if share is not None}
    if len(given) != 1:
        raise BadPlan(
            asked=f"allocate ratios for {' and '.join(given) or 'no target'}",
            found=f"{len(given)} targets; one decides how much goes",
            where="arguments macs, parameters, bytes",
            what_to_do="give one of them, for example macs=0.4",
        )
    ((name, share),) = given.items()
    book, order = ledger(graph), removal_order(graph, found)

    def made(count: int) -> Plan:
        taken = Counter(order[:count])
        ratios = {group: taken[group] / graph.groups_by_name[group].size for group in found.groups}
        return plan(graph, scores, ratios=ratios, **options)

    def left(count: int) -> float:
        removed = {graph.group(r.group).index: r.units for r in made(count).removals}
        return book.amount(name, removed) / max(book.amount(name, {}), 1)

    if left(len(order)) > share:
        raise BadPlan(
            asked=f"leave {share:.1%} of the {name}",
            found=f"the largest ratios that were swept leave {left(len(order)):.1%}",
            where="argument found",
            what_to_do="sweep larger ratios, or ask for more to be left",
        )
    return made(bisect_left(range(len(order)), True, key=lambda count: left(count) <= share))


def removal_order(graph: DependencyGraph, found: Sensitivity) -> list[str]:
    """The group of each unit in the order in which an allocation takes them, as far as was swept."""
    times = []
    for name in found.groups:
        size = graph.groups_by_name[name].size
        ratios, accuracies = np.array(found.curve(name)).T
        units = np.arange(1, int(size * ratios[-1] + _SLACK) + 1) / size
        lost = found.original - accuracies
        # a curve that rises again gives nothing back: no ratio costs less than a smaller one
        worst = np.maximum.accumulate(lost)[np.searchsorted(ratios, units, side="right") - 1]
        costs = np.maximum(worst, np.interp(units, ratios, lost))
        times += [(cost, unit, name) for cost, unit in zip(costs, units, strict=True)]
    return [name for _, _, name in sorted(times)]


def _measured(
    graph: DependencyGraph,
    plans: Mapping[tuple[str, float], Plan],
    evaluate: Evaluate,
    executor: Executor | None,
    cancel: Cancel | None,
) -> Iterator[Cut]:
    if executor is None:
        for (group, ratio), made in plans.items():
            _stop_if(cancel)
            yield Cut(group, ratio, *_accuracy_of(graph.model, made, graph.example_inputs, evaluate))
        return
    payload = _pickled(graph.model, graph.example_inputs, evaluate)
    futures: dict[Future[tuple[float | None, str]], tuple[str, float]] = {}
    try:
        for key, made in plans.items():
            futures[executor.submit(_accuracy_from, payload, made.to_json())] = key
        for future in as_completed(futures):
            _stop_if(cancel)
            yield Cut(*futures[future], *future.result())
    except (BrokenExecutor, OSError, EOFError) as error:
        raise MeasurementFailed(
            asked=f"measure {len(plans)} cuts on {type(executor).__name__}",
            found=f"a worker died: {type(error).__name__}: {error}",
            where="argument executor",
            what_to_do="make a new executor, with fewer workers where memory is short, and call again: with file= what "
            "was measured is kept",
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _accuracy_from(payload: bytes, plan_json: str) -> tuple[float | None, str]:
    """In a worker."""
    model, inputs, evaluate = pickle.loads(payload)
    return _accuracy_of(model, Plan.from_json(plan_json), inputs, evaluate)


def _accuracy_of(model: nn.Module, made: Plan, inputs: Any, evaluate: Evaluate) -> tuple[float | None, str]:
    """The accuracy after a cut, or None and the reason."""
    try:
        pruned = prune(model, made, example_inputs=inputs, verify=False).model
        return accuracy(pruned, evaluate, "pruned"), ""
    except PrunescopeError as error:
        return None, str(error)


def _pickled(model: nn.Module, inputs: Any, evaluate: Evaluate) -> bytes:
    try:
        return pickle.dumps((model, inputs, evaluate))
    except Exception as error:
        raise BadInput(
            asked="measure cuts on an executor",
            found=f"model, inputs or evaluate cannot be pickled: {type(error).__name__}: {error}",
            where="arguments graph and evaluate",
            what_to_do="let evaluate be a function of a module, not a lambda; or give no executor",
        ) from error


class _Log:
    """The results so far, in memory and as lines of JSON in a file, where there is one."""

    def __init__(self, path: Path | None, digest: str) -> None:
        """Raises BadInput where the file was written for another model."""
        self.path = path
        self.digest = digest
        self.original: float | None = None
        self.cuts: list[Cut] = []
        if path is None or not path.exists():
            return
        head, *lines = path.read_text().splitlines() or ["{}"]
        try:
            record = json.loads(head)
            self.cuts = [Cut(**json.loads(line)) for line in lines if line.endswith("}")]
        except (ValueError, TypeError) as error:
            raise _other_file(path, f"it cannot be read: {error}") from error
        if record.get("digest") != digest:
            raise _other_file(path, "it was written for other weights, groups or scores")
        self.original = float(record["original"])

    def begin(self, original: float) -> float:
        self.original = original
        self._write({"digest": self.digest, "original": original})
        return original

    def add(self, cut: Cut) -> None:
        self._write(asdict(cut))

    def _write(self, record: dict[str, Any]) -> None:
        if self.path is None:
            return
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def _other_file(path: Path, found: str) -> BadInput:
    return BadInput(
        asked="go on with the sweep in this file",
        found=found,
        where=str(path),
        what_to_do="give another file name, or delete this one to begin anew",
    )


def _digest(graph: DependencyGraph, scores: Scores) -> str:
    """Equal for the same weights, groups and scores."""
    found = hashlib.sha256(fingerprint(graph).encode())
    for _, tensor in sorted(graph.model.state_dict().items()):
        found.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
    for name in sorted(scores):
        found.update(scores[name].numpy().tobytes())
    return found.hexdigest()[:32]


def _check_ratios(ratios: Sequence[float]) -> None:
    wrong = [ratio for ratio in ratios if not 0 < ratio < 1]
    if ratios and not wrong:
        return
    raise BadInput(
        asked=f"a sweep over the ratios {list(ratios)}",
        found=f"{wrong[0]!r} is not over 0 and under 1" if wrong else "there are none",
        where="argument ratios",
        what_to_do=f"give for example ratios={RATIOS}",
    )


def _stop_if(cancel: Cancel | None) -> None:
    if cancel is not None and cancel():
        raise CancelledError("the sweep was cancelled")
