"""Small models and those of the gallery, traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prunescope.core import DependencyGraph, trace
from prunescope.explorer.gallery import open_model
from tests.models import flattened, grouped, image, ragged


def gallery(name: str) -> DependencyGraph:
    opened = open_model(name)
    return trace(opened.model, opened.example_inputs)


GRAPHS: Mapping[str, Callable[[], DependencyGraph]] = {
    "flattened": lambda: trace(flattened(), image()),
    "grouped": lambda: trace(grouped(), image()),
    "ragged": lambda: trace(ragged(), image()),
    "digits-resnet": lambda: gallery("digits-resnet"),
    "digits-vit": lambda: gallery("digits-vit"),
}
