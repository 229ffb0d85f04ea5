"""Latency against a clock."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from prunescope.core.errors import BadInput
from prunescope.core.timing import latency


class Sleeper(nn.Module):
    """Takes a known time."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.seconds = milliseconds / 1000

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x


def test_latency_agrees_with_a_clock_and_tells_the_models_apart() -> None:
    fast, slow = latency([Sleeper(2), Sleeper(10)], torch.zeros(1), rounds=5, min_round_seconds=0.01)
    assert 2 <= fast.median_ms < slow.median_ms
    assert 10 <= slow.median_ms < 100
    assert slow.iqr_ms >= 0
    assert slow.runs == 5


def test_latency_says_how_many_threads_it_used_and_leaves_torch_with_its_own() -> None:
    before = torch.get_num_threads()
    (result,) = latency([nn.Linear(4, 4)], torch.zeros(1, 4), rounds=1, min_round_seconds=0.001, threads=1)
    assert result.threads == 1
    assert torch.get_num_threads() == before


def test_latency_runs_the_models_in_turns() -> None:
    calls: list[str] = []

    class Logged(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            calls.append(self.name)
            time.sleep(0.002)
            return x

    marks: list[int] = []
    models = [Logged("a"), Logged("b")]
    latency(
        models,
        torch.zeros(1),
        rounds=3,
        min_round_seconds=0,
        progress=lambda done, of: marks.append(len(calls)),
    )
    rounds = [set(calls[start:end]) for start, end in pairwise(marks)]
    assert rounds == [{"a", "b"}] * 2
    assert all(model.training for model in models)


def test_progress_counts_up_to_the_number_of_rounds() -> None:
    seen: list[tuple[int, int]] = []
    latency(
        [nn.Linear(2, 2)],
        torch.zeros(1, 2),
        rounds=3,
        min_round_seconds=0,
        progress=lambda *now: seen.append(now),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_cancelled_measurement_ends_and_gives_the_mode_back() -> None:
    model = nn.Linear(2, 2)
    answers = iter([False, True])
    with pytest.raises(CancelledError):
        latency([model], torch.zeros(1, 2), rounds=50, min_round_seconds=0, cancel=lambda: next(answers))
    assert model.training


@pytest.mark.parametrize(("models", "rounds"), [([], 3), ([nn.Linear(1, 1)], 0)])
def test_latency_of_nothing_is_refused(models: list[nn.Module], rounds: int) -> None:
    with pytest.raises(BadInput, match=f"{len(models)} models and {rounds} rounds"):
        latency(models, torch.zeros(1, 1), rounds=rounds)
