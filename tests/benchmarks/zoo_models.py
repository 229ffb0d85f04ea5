"""Builders of the models that the zoo prunes: random weights, small configurations, inputs that each can run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.zoo_graphs import graph_networks
from tests.benchmarks.zoo_transformers import Build, transformers_models


def models() -> Iterator[tuple[str, Build]]:
    """Name and builder of every model whose package is installed."""
    yield from _torchvision_models()
    for package, family in (
        ("timm", _timm_models),
        ("transformers", transformers_models),
        ("torch_geometric", graph_networks),
    ):
        if importlib.util.find_spec(package):
            yield from family()


def _torchvision_models() -> Iterator[tuple[str, Build]]:
    from torchvision import models as zoo

    image, small, clip = (1, 3, 224, 224), (3, 160, 160), (1, 3, 16, 224, 224)
    for module, inputs in (
        (zoo, lambda: torch.randn(image)),
        (zoo.segmentation, lambda: torch.randn(image)),
        (zoo.video, lambda: torch.randn(clip)),
        (zoo.detection, lambda: ([torch.rand(small)],)),
        (zoo.optical_flow, lambda: (torch.randn(1, 3, 128, 128), torch.randn(1, 3, 128, 128))),
    ):
        for name in zoo.list_models(module=module):
            yield name, lambda name=name, inputs=inputs: _torchvision(name, inputs())


def _torchvision(name: str, inputs: Any) -> tuple[nn.Module, Any]:
    from torchvision import models as zoo

    place = zoo.get_model_builder(name).__module__
    options: dict[str, Any] = {"weights_backbone": None} if "segmentation" in place or "detection" in place else {}
    if "detection" in place and not name.startswith("ssd"):
        options |= {"min_size": 160, "max_size": 320}
    if name.startswith("inception"):
        inputs = torch.randn(1, 3, 299, 299)
    return zoo.get_model(name, weights=None, **options), inputs


_SMALL = ("test", "pico", "atto", "femto", "nano", "xxs", "xxt", "tiny", "_xs", "small", "mini", "_s")
_LARGE = ("base", "large", "huge", "giant", "_l", "_xl", "gamma", "so400m", "300m")


def _timm_models() -> Iterator[tuple[str, Build]]:
    """One small model of every family (a module of timm)."""
    import timm

    for family in timm.list_modules():
        names = timm.list_models(module=family)
        if names:
            name = min(names, key=lambda n: (_largeness(n), len(n), n))
            yield f"timm/{family}/{name}", lambda name=name: _timm(name)


def _largeness(name: str) -> int:
    return sum(part in name for part in _LARGE) - sum(part in name for part in _SMALL)


def _timm(name: str) -> tuple[nn.Module, Tensor]:
    import timm

    model = timm.create_model(name, pretrained=False)
    return model, torch.randn(1, *model.default_cfg["input_size"])
