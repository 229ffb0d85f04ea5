"""torch's own layers whose size attributes are read off their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from torch import nn


def sizes_of(module: nn.Module) -> dict[str, Any]:
    """Attribute -> value as the module's tensors say now; empty for a module that is not known here."""
    kind: Any = type(module)
    sizes = _sizes(kind)
    return sizes(module) if sizes else {}


@cache
def _sizes(kind: type[nn.Module]) -> Callable[[Any], dict[str, Any]] | None:
    return next((sizes for known, sizes in KNOWN_LAYERS.items() if issubclass(kind, known)), None)


def _linear(module: Any) -> dict[str, Any]:
    return {"in_features": module.weight.shape[1], "out_features": module.weight.shape[0]}


def _convolution(module: Any) -> dict[str, Any]:
    first, second, *kernel = module.weight.shape
    channels = (first, second * module.groups) if module.transposed else (second * module.groups, first)
    return {"in_channels": channels[0], "out_channels": channels[1], "kernel_size": tuple(kernel)}


def _norm(module: Any) -> dict[str, Any]:
    tensor = module.weight if module.weight is not None else module.running_mean
    return {} if tensor is None else {"num_features": tensor.shape[0]}


def _group_norm(module: Any) -> dict[str, Any]:
    return {} if module.weight is None else {"num_channels": module.weight.shape[0]}


def _layer_norm(module: Any) -> dict[str, Any]:
    return {} if module.weight is None else {"normalized_shape": tuple(module.weight.shape)}


def _embedding(module: Any) -> dict[str, Any]:
    return {"num_embeddings": module.weight.shape[0], "embedding_dim": module.weight.shape[1]}


def _bilinear(module: Any) -> dict[str, Any]:
    rows, first, second = module.weight.shape
    return {"in1_features": first, "in2_features": second, "out_features": rows}


def _recurrent(module: Any) -> dict[str, Any]:
    weight = module.weight_ih_l0
    return {"input_size": weight.shape[1], "hidden_size": module.weight_hh_l0.shape[0] // _GATES[module.mode]}


def _cell(module: Any) -> dict[str, Any]:
    return {"input_size": module.weight_ih.shape[1], "hidden_size": module.weight_hh.shape[1]}


_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}  # rows of the weights for each unit


def _prelu(module: Any) -> dict[str, Any]:
    return {"num_parameters": module.weight.shape[0]}


KNOWN_LAYERS: Mapping[type[nn.Module], Callable[[Any], dict[str, Any]]] = {
    nn.Linear: _linear,
    nn.modules.conv._ConvNd: _convolution,
    nn.modules.batchnorm._NormBase: _norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _layer_norm,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.Bilinear: _bilinear,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _cell,
    nn.PReLU: _prelu,
}
