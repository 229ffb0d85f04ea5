"""Sensitivity: what a cut of one group costs, wherever it is measured, and nothing that was measured is lost."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed import Client, LocalCluster
from torch import nn

from prunescope.core import DependencyGraph, plan, predicted, prune, score, trace
from prunescope.core.errors import BadInput, BadPlan, MeasurementFailed
from prunescope.core.sensitivity import Cut, Sensitivity, allocated, removal_order, sensitivity
from prunescope.explorer.gallery import open_model
from prunescope.explorer.gallery.fit import accuracy

RATIOS = (0.25, 0.75)
validation = partial(accuracy, split="validation")


@pytest.fixture(scope="module")
def graph() -> DependencyGraph:
    opened = open_model("digits-resnet")
    return trace(opened.model, opened.example_inputs)


@pytest.fixture(scope="module")
def found(graph: DependencyGraph) -> Sensitivity:
    return sensitivity(graph, score(graph), validation, ratios=RATIOS)


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def processes() -> Iterator[Executor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, torch.set_num_threads, (1,)) as executor:
        yield executor


@contextmanager
def dask() -> Iterator[Executor]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


def test_each_accuracy_is_that_of_the_group_cut_alone(graph: DependencyGraph, found: Sensitivity) -> None:
    assert found.original == validation(graph.model)
    assert found.groups == tuple(group.name for group in graph.groups)
    for cut in (found.cuts[0], found.cuts[-1]):
        alone = prune(graph.model, plan(graph, score(graph), cut.ratio, groups=[cut.group])).model
        assert cut.accuracy == validation(alone)
    table = found.table()
    assert table.shape == (len(graph.groups), len(RATIOS))
    assert table.loc[found.cuts[-1].group, RATIOS[-1]] == found.cuts[-1].accuracy


@pytest.mark.parametrize("workers", [threads, processes, dask])
def test_any_executor_finds_the_same(graph: DependencyGraph, found: Sensitivity, workers: Any) -> None:
    told: list[tuple[int, int]] = []
    with workers() as executor:
        again = sensitivity(
            graph,
            score(graph),
            validation,
            ratios=RATIOS,
            groups=found.groups[:2],
            executor=executor,
            report=lambda cut, done, of: told.append((done, of)),
        )
    assert set(again.cuts) == {cut for cut in found.cuts if cut.group in found.groups[:2]}
    assert told == [(n, 4) for n in range(1, 5)]


def test_a_cancelled_sweep_goes_on_from_its_file(graph: DependencyGraph, found: Sensitivity, tmp_path: Path) -> None:
    file, evaluated, cuts = tmp_path / "sweep.jsonl", [], []

    def counted(model: nn.Module) -> float:
        evaluated.append(1)
        return validation(model)

    options: dict[str, Any] = {"ratios": RATIOS, "groups": found.groups[:2], "file": file}
    with pytest.raises(CancelledError):
        sensitivity(
            graph,
            score(graph),
            counted,
            **options,
            report=lambda cut, done, of: cuts.append(cut),
            cancel=lambda: len(cuts) == 3,
        )
    assert len(evaluated) == 4  # the original, and three cuts
    whole = sensitivity(graph, score(graph), counted, **options)
    assert len(evaluated) == 5
    assert whole.cuts == tuple(cut for cut in found.cuts if cut.group in found.groups[:2])
    with pytest.raises(BadInput, match="other weights, groups or scores"):
        sensitivity(graph, score(graph, "random"), counted, **options)


def dying(model: nn.Module) -> float:
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    return 0.5


def test_a_worker_that_dies_is_said_and_what_was_measured_is_kept(graph: DependencyGraph, tmp_path: Path) -> None:
    file = tmp_path / "sweep.jsonl"
    with processes() as executor, pytest.raises(MeasurementFailed, match="a worker died"):
        sensitivity(graph, score(graph), dying, ratios=(0.5,), executor=executor, file=file)
    known = sensitivity(graph, score(graph), dying, ratios=(0.5,), file=file)
    assert known.original == 0.5


def test_what_cannot_be_measured_is_on_record_with_its_reason(graph: DependencyGraph) -> None:
    def whole_only(model: nn.Module) -> float:
        return 0.9 if model is graph.model else float("nan")

    found = sensitivity(graph, score(graph), whole_only, ratios=(0.5,), groups=[graph.groups[0].name])
    assert found.cuts[0].accuracy is None
    assert "it returned nan" in found.cuts[0].problem


@pytest.mark.parametrize(("ratios", "message"), [((), "there are none"), ((0.5, 1.0), "1.0 is not over 0")])
def test_ratios_out_of_range_are_refused(graph: DependencyGraph, ratios: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sensitivity(graph, score(graph), validation, ratios=ratios)


def test_an_evaluate_that_cannot_be_pickled_is_named(graph: DependencyGraph) -> None:
    with processes() as executor, pytest.raises(BadInput, match="cannot be pickled"):
        sensitivity(graph, score(graph), lambda model: 0.5, ratios=(0.5,), executor=executor)


def test_the_allowed_loss_reads_the_ratio_off_the_curve() -> None:
    found = Sensitivity(0.9, (Cut("a", 0.5, 0.8), Cut("a", 0.75, 0.4), Cut("b", 0.5, 0.9), Cut("b", 0.75, None, "no")))
    assert found.ratio("a", 0.0) == 0.0
    assert found.ratio("a", 0.05) == pytest.approx(0.25)
    assert found.ratio("a", 0.3) == pytest.approx(0.625)
    assert found.ratio("a", 0.9) == 0.75
    assert found.ratio("b", 0.0) == 0.5


def test_an_allocation_meets_its_target_and_spares_what_is_sensitive(
    graph: DependencyGraph, found: Sensitivity
) -> None:
    scores = score(graph)
    made = allocated(graph, scores, found, macs=0.7)
    whole = predicted(graph, plan(graph, scores, 0.0)).macs
    assert 0.6 * whole < predicted(graph, made).macs <= 0.7 * whole
    shares = {removal.group: len(removal.units) / removal.size for removal in made.removals}
    costs = {cut.group: found.original - (cut.accuracy or 0.0) for cut in found.cuts if cut.ratio == RATIOS[-1]}
    least, most = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
    assert shares.get(least, 0.0) > shares.get(most, 0.0)
    equally = prune(graph.model, plan(graph, scores, macs=0.7)).model
    assert validation(prune(graph.model, made).model) > validation(equally)


def test_units_go_in_the_order_of_the_loss_that_allows_them(graph: DependencyGraph) -> None:
    first, second = graph.groups[:2]
    cuts = (
        *(Cut(first.name, ratio, accuracy) for ratio, accuracy in ((0.25, 0.85), (0.5, 0.6), (0.75, 0.7))),
        *(Cut(second.name, ratio, accuracy) for ratio, accuracy in ((0.5, 0.95), (0.75, 0.3))),
    )
    found = Sensitivity(0.9, cuts)
    order = removal_order(graph, found)
    for loss in (0.0, 0.01, 0.1, 0.29, 0.3, 0.4, 0.7):
        allowed = {g.name: int(g.size * found.ratio(g.name, loss) + 1e-9) for g in (first, second)}
        taken = order[: sum(allowed.values())]
        assert {name: taken.count(name) for name in allowed} == allowed


def test_an_allocation_out_of_reach_is_refused(graph: DependencyGraph, found: Sensitivity) -> None:
    with pytest.raises(BadPlan, match="largest ratios that were swept leave"):
        allocated(graph, score(graph), found, macs=0.01)
    with pytest.raises(BadPlan, match="no target"):
        allocated(graph, score(graph), found)
