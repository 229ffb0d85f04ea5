"""The table says what share of every layer can be cut at all, and why the rest cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunescope.core import trace

X = torch.randn(1, 3, 8, 8)


def test_what_can_be_cut_is_what_lies_in_a_unit_on_either_side() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    table = trace(model, X).table()
    assert table.loc["0", "prunable_parameters"] == 1.0
    # the 4 outputs are the model's and keep their biases
    assert table.loc["2", "prunable_parameters"] == pytest.approx(4 * 8 * 9 / (4 * 8 * 9 + 4))
    assert table.loc["2", "prunable_macs"] == 1.0
    assert not table.loc["2", "prunable"]
    assert table.loc["2", "why_not"] == "it is the model's output"


def test_nothing_can_be_cut_between_the_input_and_the_output() -> None:
    table = trace(nn.Sequential(nn.Conv2d(3, 4, 3)), X).table()
    assert table["prunable_parameters"].max() == table["prunable_macs"].max() == 0.0
    assert table.loc["0", "why_not"]
