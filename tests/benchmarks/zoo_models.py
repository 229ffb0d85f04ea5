"""Builders of the models that the zoo prunes: random weights, small configurations, inputs that each can run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Build: TypeAlias = Callable[[], tuple[nn.Module, Any]]  # -> the model and its example inputs


def models() -> Iterator[tuple[str, Build]]:
    """Name and builder of every model whose package is installed."""
    yield from _torchvision_models()
    for package, family in (
        ("timm", _timm_models),
        ("transformers", _transformers_models),
        ("torch_geometric", _graph_networks),
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


# By attribute of a configuration, whichever it has: enough layers, heads and widths for every coupling to show.
_SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "dim": 32,
    "embed_dim": 32,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "num_attention_heads": 4,
    "num_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "d_kv": 8,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "d_ff": 64,
    "hidden_dim": 64,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "moe_intermediate_size": 16,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "image_size": 32,
    "patch_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
_PARTS = ("text_config", "vision_config", "audio_config")


def _transformers_models() -> Iterator[tuple[str, Build]]:
    """The base model of every architecture of transformers, in a small configuration."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    for kind in CONFIG_MAPPING_NAMES:
        if kind in MODEL_MAPPING_NAMES:
            yield f"transformers/{kind}", lambda kind=kind: _transformer(kind)


def _transformer(kind: str) -> tuple[nn.Module, dict[str, Tensor]]:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(kind, **_small(AutoConfig.for_model(kind)))
    for part in _PARTS:
        inner = getattr(config, part, None)
        for name, value in _small(inner).items() if inner is not None else ():
            setattr(inner, name, value)
    model = AutoModel.from_config(config).eval()
    return model, _transformer_inputs(model, config)


def _small(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _SIZES.items():
        now = getattr(config, name, None)
        if isinstance(now, int) and not isinstance(now, bool):
            found[name] = value
    return found


def _transformer_inputs(model: nn.Module, config: Any) -> dict[str, Tensor]:
    words = torch.randint(3, 90, (2, 9))
    wanted = getattr(model, "main_input_name", "input_ids")
    side = getattr(config, "image_size", 32)
    side = side if isinstance(side, int) else 32
    if wanted == "pixel_values":
        return {"pixel_values": torch.randn(1, getattr(config, "num_channels", 3), side, side)}
    if wanted == "input_features":
        bins = getattr(config, "num_mel_bins", 80)
        return {"input_features": torch.randn(1, bins, 128), "decoder_input_ids": words[:1]}
    if wanted == "input_values":
        return {"input_values": torch.randn(1, 4000)}
    if getattr(config, "is_encoder_decoder", False):
        return {"input_ids": words, "decoder_input_ids": words}
    return {"input_ids": words}


class TwoConvolutions(nn.Module):
    """Two layers of one kind of graph convolution on an edge list."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.second(self.first(x, edges).relu(), edges)


def _graph_networks() -> Iterator[tuple[str, Build]]:
    """Every convolution of PyG that takes features and edges alone."""
    from torch_geometric import nn as graphs

    for name in graphs.conv.__all__:
        yield f"pyg/{name}", lambda name=name: _graph_network(getattr(graphs, name))


def _graph_network(kind: type[nn.Module]) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    model = TwoConvolutions(kind(8, 16), kind(16, 5))
    return model, (torch.randn(10, 8), torch.randint(0, 10, (2, 30)))
