"""What the browser is sent, and the colours of layer kinds."""

from __future__ import annotations

import json

import pytest

from prunescope.explorer.layout import arrange
from prunescope.explorer.picture import family, picture_record
from tests.explorer.graphs import residual


def test_the_record_is_json_and_holds_everything_that_is_drawn() -> None:
    picture = arrange(*residual(), {"layer1"})
    record = json.loads(json.dumps(picture_record(picture)))
    assert [box["id"] for box in record["boxes"]] == [box.id for box in picture.boxes]
    assert [frame["module"] for frame in record["frames"]] == ["layer1"]
    assert len(record["routes"]) == len(picture.routes)
    assert {box["module"] for box in record["boxes"] if box["family"] == "module"} >= {"layer1.0", "layer2"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Conv2d", "conv"),
        ("ConvTranspose1d", "conv"),
        ("BatchNorm2d", "norm"),
        ("LayerNorm", "norm"),
        ("LeakyReLU", "activation"),
        ("SiLU", "activation"),
        ("GELU", "activation"),
        ("Linear", "linear"),
        ("MultiheadAttention", "linear"),
        ("AdaptiveAvgPool2d", "pool"),
        ("add", "elementwise"),
        ("cat", "concat"),
        ("view", "other"),
    ],
)
def test_kinds_have_the_colour_of_their_family(kind: str, expected: str) -> None:
    assert family(kind) == expected
