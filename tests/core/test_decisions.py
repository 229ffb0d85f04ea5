"""Where a model decides by values, the pruned one is held to the same decisions, and what it decides on is compared."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace
from prunescope.core.decisions import Recording, Replaying, relative_difference
from prunescope.core.errors import VerificationFailed
from prunescope.core.rebuild import rebuilt

X = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))


class Detector(nn.Module):
    """Scores every place, and returns the boxes of those above a threshold, the best first."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.body, self.scores, self.boxes = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x).relu().flatten(0, 1)
        scores = self.scores(hidden)[:, 0].sigmoid().round(decimals=1)  # many are tied
        order = scores.argsort(descending=True)
        kept = order[scores[order] > self.threshold]
        return scores[kept], self.boxes(hidden)[kept]


def detector(threshold: float) -> Detector:
    torch.manual_seed(0)
    return Detector(threshold).eval()


@pytest.mark.parametrize("threshold", [0.3, 2.0], ids=["some boxes", "no box"])
def test_a_detector_is_cut_exactly_whether_it_finds_anything_or_not(threshold: float) -> None:
    model = detector(threshold)
    graph = trace(model, X)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.body.out_features == 4
    assert result.verification is not None
    assert result.verification.difference is not None


@pytest.mark.parametrize("threshold", [0.3, 2.0], ids=["some boxes", "no box"])
def test_a_wrong_cut_is_noticed_even_where_nothing_is_found(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boxes' weights of the pruned model are turned around; no score tells."""

    def turned(model: nn.Module, tensors: dict[int, Tensor]) -> nn.Module:
        made = rebuilt(model, tensors)
        if len(made.body.weight) == 4:
            made.boxes.weight = nn.Parameter(made.boxes.weight.flip(1))
        return made

    model = detector(threshold)
    graph = trace(model, X)
    chosen = plan(graph, score(graph), ratio=0.5)
    monkeypatch.setattr("prunescope.core.surgery.rebuilt", turned)
    with pytest.raises(VerificationFailed, match="differs"):
        prune(model, chosen)


def test_a_tie_is_broken_as_it_was_recorded() -> None:
    values = torch.tensor([1.0, 2.0, 2.0, 0.5])
    recording = Recording()
    with recording:
        first = values.sort(descending=True, stable=True)[1]
    other = values.clone()
    other[2] += 1e-6
    assert other.sort(descending=True)[1].tolist() != first.tolist()
    replaying = Replaying(recording.decisions, 1e-5)
    with replaying:
        assert other.sort(descending=True)[1].tolist() == first.tolist()
    assert 0 < replaying.difference < 1e-6


def test_other_values_are_decided_anew_and_their_difference_is_reported() -> None:
    recording = Recording()
    with recording:
        torch.tensor([1.0, 2.0, 3.0]).argmax()
    replaying = Replaying(recording.decisions, 1e-5)
    with replaying:
        assert torch.tensor([3.0, 2.0, 1.0]).argmax() == 0
    assert replaying.difference == pytest.approx(2 / 3)


def test_the_difference_is_relative_to_the_largest_value_and_infinities_have_to_agree() -> None:
    expected = torch.tensor([4.0, float("-inf"), float("nan")])
    assert relative_difference(expected, copy.copy(expected)) == 0.0
    assert relative_difference(expected, torch.tensor([3.0, float("-inf"), float("nan")])) == 0.25
    assert relative_difference(expected, torch.tensor([4.0, 1.0, float("nan")])) == float("inf")
    assert relative_difference(expected, torch.tensor([4.0, float("-inf"), 1.0])) == float("inf")
    assert relative_difference(torch.tensor([True, False]), torch.tensor([True, True])) == 1.0


class Heuristic(nn.Module):
    """Asks a formula of its sizes which of two equal ways to go."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        sizes = torch.tensor([hidden.shape[0], hidden.shape[1]])
        if bool(sizes / torch.tensor([100.0, 50.0]) @ torch.tensor([0.5, 0.1]) >= 1000.0):
            raise AssertionError("no size here is that large")
        return self.second(hidden)


def test_a_size_that_only_a_decision_is_made_of_may_change() -> None:
    model, x = Heuristic().eval(), torch.randn(4, 6)
    graph = trace(model, x)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.model.first.out_features == 16
    assert not result.left_out
