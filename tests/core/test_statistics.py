"""A group is labelled 'changes statistics' where zero in the place of its units is not the same as their removal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import BadPlan
from prunescope.core.graph import Group
from prunescope.core.surgery import Pruned

Use = Callable[[Tensor], Tensor]


class Hidden(nn.Module):
    """Eight features, used in some way."""

    def __init__(self, use: Use) -> None:
        super().__init__()
        self.use, self.hidden, self.out = use, nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.use(self.hidden(x)))


class Normed(Hidden):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__(norm)


class Standardised(nn.Module):
    """Every row of the second weight has mean 0 and variance 1 over the features that it reads."""

    def __init__(self, standardise: Use) -> None:
        super().__init__()
        self.standardise, self.hidden = standardise, nn.Linear(4, 8)
        self.weight = nn.Parameter(torch.randn(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.hidden(x), self.standardise(self.weight))


class Products(nn.Module):
    """Query and key, a function of both, and their products: the width of the two is summed over."""

    def __init__(self, function: Use) -> None:
        super().__init__()
        self.function = function
        self.hidden, self.key, self.value = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.hidden(x)) @ self.function(self.key(x)).transpose(-2, -1) @ self.value(x)


class ProductsOfMatrices(nn.Module):
    """The same of two dimensions, between layers whose own products are of the same kind."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.key, self.value = (nn.Linear(4, width, bias=False) for width in (8, 8, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(0, -2)
        return self.hidden(x).exp() @ self.key(x).exp().t() @ self.value(x)


def standardised(weight: Tensor) -> Tensor:
    return (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True)


def by_batch_norm(weight: Tensor) -> Tensor:
    return functional.batch_norm(weight.view(1, 3, -1), None, None, training=True).view_as(weight)


def weight_norm() -> nn.Module:
    model = Hidden(torch.relu)
    model.out = parametrizations.weight_norm(model.out)
    return model


CHANGED: dict[str, Callable[[], nn.Module]] = {
    "mean": lambda: Hidden(lambda x: x - x.mean(-1, keepdim=True)),
    "a sum over its number": lambda: Hidden(lambda x: x - x.sum(-1, keepdim=True) / x.shape[-1]),
    "a norm over the root of its number": lambda: Hidden(
        lambda x: x / (1 + x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5)
    ),
    "a mean square written out": lambda: Hidden(
        lambda x: x * torch.rsqrt(x.square().sum(-1, keepdim=True) / x.size(-1) + 1e-6)
    ),
    "largest": lambda: Hidden(lambda x: x / (1 + x.abs().amax(-1, keepdim=True))),
    "a norm": lambda: Hidden(lambda x: x / (1 + x.norm(dim=-1, keepdim=True))),
    "LayerNorm": lambda: Normed(nn.LayerNorm(8)),
    "LayerNorm without weights": lambda: Normed(nn.LayerNorm(8, elementwise_affine=False)),
    "RMSNorm": lambda: Normed(nn.RMSNorm(8)),
    "LayerNorm over positions too": lambda: Normed(nn.LayerNorm([5, 8])),
    "RMSNorm over positions too": lambda: Normed(nn.RMSNorm([5, 8])),
    "weight standardisation": lambda: Standardised(standardised),
    "weight standardisation by batch norm": lambda: Standardised(by_batch_norm),
    "weight norm": weight_norm,
    "normalised query and key": lambda: Products(lambda x: functional.normalize(x, dim=-1)),
    "exp on either side of a product": lambda: Products(torch.exp),
    "cos on either side of a product": lambda: Products(torch.cos),
    "sigmoid on either side of a product": lambda: Products(torch.sigmoid),
    "elu + 1 on either side of a product": lambda: Products(lambda x: functional.elu(x) + 1),
    "exp on either side of a product of matrices": ProductsOfMatrices,
    "a sum of exp": lambda: Hidden(lambda x: x / x.exp().sum(-1, keepdim=True)),
}
UNCHANGED: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: Hidden(torch.relu),
    # the weight that reads a feature goes with it, whatever the feature's value is
    "sigmoid before a weight": lambda: Hidden(torch.sigmoid),
    "exp before a weight": lambda: Hidden(torch.exp),
    "a sum": lambda: Hidden(lambda x: x * x.sum(-1, keepdim=True)),
    "a sum of squares": lambda: Hidden(lambda x: x * x.square().sum(-1, keepdim=True)),
    "query and key": lambda: Products(lambda x: x),
    "relu on either side of a product": lambda: Products(torch.relu),
    "a gate on either side of a product": lambda: Products(lambda x: x * x.sigmoid()),
}


def of_hidden(model: nn.Module) -> Group:
    group = trace(model.eval(), torch.randn(2, 5, 4)).group_of("hidden")
    assert group is not None
    return group


def halved(model: nn.Module) -> Pruned:
    graph = trace(model.eval(), torch.randn(2, 5, 4))
    return prune(model, plan(graph, score(graph), 0.5))


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_statistics_says_so_and_equals_the_original_with_those_of_the_rest(name: str) -> None:
    torch.manual_seed(0)
    model = CHANGED[name]()
    assert of_hidden(model).lock is None
    assert of_hidden(model).statistics
    result = halved(model)
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert result.verification.statistics


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_takes_nothing_but_itself_along_is_not_labelled(name: str) -> None:
    torch.manual_seed(0)
    model = UNCHANGED[name]()
    assert of_hidden(model).lock is None
    assert of_hidden(model).statistics == ()
    result = halved(model)
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert result.verification.statistics == ()


class Mixed(nn.Module):
    """Every feature of six chooses among four branches."""

    def __init__(self) -> None:
        super().__init__()
        self.branches, self.width = 4, 6
        self.hidden, self.branch, self.out = nn.Linear(4, 24), nn.Linear(4, 24), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        sizes = (*x.shape[:-1], self.branches, self.width)
        return self.out((self.hidden(x).view(sizes).softmax(-2) * self.branch(x).view(sizes)).sum(-2))


class Streams(nn.Module):
    """Copies of the same features, summed up by weights that are made of all of them together."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = 4
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.weights, self.bias = nn.Parameter(torch.randn(4, 24)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        streams = self.hidden(x).unsqueeze(-2).expand(*x.shape[:-1], self.streams, -1)
        shares = functional.linear(streams.flatten(-2), self.weights, self.bias).sigmoid()
        return self.out((shares.unsqueeze(-1) * streams).sum(-2))


class Turned(nn.Module):
    """Scores of queries and keys in heads, of which some features are multiplied by what all of them share."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.part = 2, 4
        self.queries, self.keys = (nn.ModuleList([nn.Linear(4, 12), nn.Linear(4, 12)]) for _ in range(2))
        self.shared = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        scores = 0
        for layers in zip(self.queries, self.keys, strict=True):
            query, key = (layer(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2) for layer in layers)
            query, key = (torch.cat([y[..., : self.part] * self.shared, y[..., self.part :]], -1) for y in (query, key))
            scores = scores + query @ key.transpose(-2, -1)
        return scores.sum(1)


def test_parts_that_are_put_together_again_are_zero_each_for_its_own_units() -> None:
    torch.manual_seed(0)
    graph = trace(Turned().eval(), torch.randn(2, 5, 4))
    assert {group.kind for group in graph.groups} >= {"heads", "head dimensions"}
    assert not any(group.statistics for group in graph.groups)


def test_a_sum_over_copies_changes_though_the_features_of_each_would_be_zero() -> None:
    torch.manual_seed(0)
    model = Streams()
    graph = trace(model.eval(), torch.randn(2, 5, 4))
    changed = {group.kind: bool(group.statistics) for group in graph.groups}
    assert changed == {"heads": True, "head dimensions": False}
    for kind, attribute in (("heads", "streams"), ("head dimensions", "hidden.out_features")):
        result = prune(model, plan(graph, score(graph), 0.5, kind=kind))
        assert next(str(repair).split()[0] for repair in result.repairs) == attribute
        assert result.left_out == ()
        assert result.verification is not None
        assert result.verification.difference is not None


class Outer(nn.Module):
    """Every feature times something of every head, summed up over the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.hidden, self.out = nn.Linear(4, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.hidden(x)
        of_head = features.view(*x.shape[:-1], self.heads, -1).sum(-1).exp()
        return self.out((of_head.unsqueeze(-1) * features.unsqueeze(-2)).sum(-2))


def test_features_that_are_zero_make_no_heads_zero_that_they_only_meet() -> None:
    torch.manual_seed(0)
    result = halved(Outer())
    assert (result.model.heads, result.left_out) == (2, ())
    assert result.verification is not None
    assert result.verification.statistics == ("sum#2",)


def test_what_a_softmax_runs_over_is_cut_where_its_kind_or_group_is_named_and_shared_among_the_rest() -> None:
    torch.manual_seed(0)
    model = Hidden(lambda x: x.softmax(-1))
    group = of_hidden(model)
    assert (group.kind, group.lock) == ("competing units", None)
    assert group.statistics
    graph = trace(model.eval(), torch.randn(2, 5, 4))
    assert plan(graph, score(graph), 0.5).removals == ()
    for asked in ({"kind": "competing units"}, {"groups": [group.name]}):
        result = prune(model, plan(graph, score(graph), 0.5, **asked))
        assert result.model.hidden.out_features == 4
        assert result.verification is not None
        assert result.verification.difference is not None
        assert result.verification.statistics


def test_branches_that_a_softmax_weighs_are_kept_and_the_features_of_each_are_cut() -> None:
    torch.manual_seed(0)
    model = Mixed()
    result = halved(model)
    assert result.model.out.in_features == 3
    assert result.model.hidden.out_features == 4 * 3
    graph = result.graph
    branches = prune(model, plan(graph, score(graph), 0.5, kind="competing units"))
    assert branches.model.out.in_features == 6
    assert branches.model.hidden.out_features == 2 * 6


class NormOfAll(nn.Module):
    """Takes another way for a batch of one, as the norms of some image translators do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            mean, spread = x.view(-1).mean(), x.view(-1).std()
        else:
            mean, spread = (f(x.flatten(1), 1).view(-1, 1, 1, 1) for f in (torch.mean, torch.std))
        return (x - mean) / (spread + 1e-5) * self.gain.view(1, -1, 1, 1)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_of_one_that_takes_another_way_is_compared_as_it_was_traced(batch: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), NormOfAll(16), nn.ReLU(), nn.Conv2d(16, 3, 3)).eval()
    graph = trace(model, torch.randn(batch, 3, 8, 8))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.verification is not None
    assert pruned.verification.difference is not None


class MadeOfWeights(nn.Module):
    """A layer whose weights are a function of its parameters, of which a zero need not make a zero."""

    def __init__(self, inputs: int, outputs: int, made: Use, convolution: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn((outputs, inputs, 1, 1) if convolution else (outputs, inputs)))
        self.bias, self.made = nn.Parameter(torch.randn(outputs)), made

    def forward(self, x: Tensor) -> Tensor:
        apply = functional.linear if x.dim() == 2 else functional.conv2d
        return apply(x, self.made(self.weight), self.bias)


WEIGHTS: dict[str, Use] = {
    "softplus": functional.softplus,
    "exp": torch.exp,
    "less their mean": lambda w: w - w.mean(),
    "by their largest": lambda w: w.tanh() / (2 * w.tanh().abs().max()) + 0.5,
}


@pytest.mark.parametrize("convolution", [False, True], ids=["linear", "convolution"])
@pytest.mark.parametrize("made", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_not_zero_where_their_parameters_are_go_with_their_unit(made: Use, convolution: bool) -> None:
    torch.manual_seed(0)
    sizes = (5, 16, 12, 3)
    layers = [MadeOfWeights(*pair, made, convolution) for pair in pairwise(sizes)]
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2]).eval()
    graph = trace(model, torch.randn(4, 5, 2, 2) if convolution else torch.randn(4, 5))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not pruned.left_out
    assert pruned.model[2].weight.shape[:2] == (6, 8)


def test_where_all_units_compete_the_refusal_names_their_kind() -> None:
    model = nn.Sequential(*(MadeOfWeights(5, 5, lambda w: w.softmax(1), convolution=False) for _ in range(2))).eval()
    graph = trace(model, torch.randn(4, 5))
    with pytest.raises(BadPlan, match='kind="competing units"'):
        prune(model, plan(graph, score(graph), ratio=0.5))
