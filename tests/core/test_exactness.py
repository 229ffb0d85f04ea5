"""A pruned network equals the original whose removed units are zero, over the CNN families of the paper."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import DependencyGraph, Plan, plan, predicted, prune, score, trace
from prunescope.core.measure import macs, parameters

TOLERANCE = 1e-5
FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "vgg11_bn",
    "wide_resnet50_2",
)


def build(name: str) -> tuple[nn.Module, Tensor]:
    """The network with random weights, norms randomised so that a wrong cut cannot pass."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    size = 299 if name == "inception_v3" else 224
    return model, torch.randn(1, 3, size, size)


def zeroed(graph: DependencyGraph, chosen: Plan) -> nn.Module:
    """The original with the removed slices set to zero, LayerNorm over the channels that are left."""
    model = copy.deepcopy(graph.model)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    gone: dict[str, set[int]] = {}
    for removal in chosen.removals:
        for member in graph.group(removal.group).members:
            indices = member.of_units(list(removal.units))
            tensors[member.parameter].data.index_fill_(member.dim, torch.from_numpy(indices), 0)
            if member.layer in norms:
                gone.setdefault(member.layer, set()).update(indices.tolist())
    for name, indices_gone in gone.items():
        _normalise_the_rest(norms[name], indices_gone)
    return model


def _normalise_the_rest(norm: nn.LayerNorm, gone: set[int]) -> None:
    kept = [channel for channel in range(norm.normalized_shape[0]) if channel not in gone]
    channels_first = type(norm) is not nn.LayerNorm  # torchvision's LayerNorm2d

    def forward(x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1) if channels_first else x
        y = torch.zeros_like(x)
        y[..., kept] = functional.layer_norm(x[..., kept], (len(kept),), norm.weight[kept], norm.bias[kept], norm.eps)
        return y.permute(0, 3, 1, 2) if channels_first else y

    norm.forward = forward  # type: ignore[method-assign]


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_network_equals_the_zeroed_original_and_costs_what_was_predicted(name: str) -> None:
    model, x = build(name)
    graph = trace(model, x)
    graph.check()
    chosen = plan(graph, score(graph), ratio=0.5)
    result = prune(model, chosen)
    with torch.no_grad():
        expected, found = zeroed(graph, chosen)(x), result.model(x)
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    left = predicted(graph, chosen)
    assert left.parameters == parameters(result.model) <= 0.6 * parameters(model)
    assert left.macs == macs(result.model, x) < macs(model, x)


def test_one_wrongly_kept_channel_is_noticed() -> None:
    """The comparison above can fail: keep another channel than planned and the outputs part."""
    model, x = build("resnet18")
    graph = trace(model, x)
    chosen = plan(graph, score(graph), ratio=0.5)
    first = chosen.removals[0]
    other = next(unit for unit in range(first.size) if unit not in first.units)
    swapped = Plan(
        (
            type(first)(first.group, tuple(sorted((*first.units[1:], other))), first.size),
            *chosen.removals[1:],
        ),
        chosen.fingerprint,
        chosen.inputs,
        graph,
    )
    with torch.no_grad():
        expected, found = zeroed(graph, chosen)(x), prune(model, swapped).model(x)
    assert (found - expected).abs().max() > 100 * TOLERANCE * expected.abs().max()


def test_layers_used_in_training_only_are_cut_with_the_others() -> None:
    """GoogLeNet's auxiliary classifiers do not run in evaluation mode, and have to run after the cut."""
    model, _ = build("googlenet")
    graph = trace(model, torch.randn(2, 3, 224, 224))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.verification is not None
    assert result.verification.training_mode
    outputs = result.model.train()(torch.randn(2, 3, 224, 224))
    assert [tuple(output.shape) for output in outputs] == [(2, 1000)] * 3
