"""Modes as they were found."""

from __future__ import annotations

import pytest
from torch import nn

from prunescope.core.modes import evaluating


def test_evaluating_gives_the_mode_back_after_an_exception() -> None:
    model = nn.Dropout()

    def fail() -> None:
        with evaluating(model):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert model.training
