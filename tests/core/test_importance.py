"""Criteria: what each one says of a unit, held against other implementations and against the loss itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import CRITERIA, score, trace
from prunescope.core.errors import BadInput
from prunescope.core.evidence import INPUT_NORMS, gathered
from prunescope.core.importance import NORMALISATIONS, REDUCTIONS, member_importance
from tests.core.torch_pruning_scores import LABELS, STORED, Network, X, loss
from tests.models import flattened

BATCH = (X, LABELS)
REFERENCE = json.loads(STORED.read_text())


def rated(criterion: str, model: nn.Module, **options: Any) -> dict[str, Tensor]:
    if CRITERIA[criterion].needs:
        options = {"batches": [BATCH], "loss": loss, **options}
    return dict(score(trace(model, X), criterion, **options))


@pytest.mark.parametrize("criterion", REFERENCE)
def test_units_rank_as_in_torch_pruning(criterion: str) -> None:
    ours = rated(criterion, Network(norm=criterion in ("magnitude", "magnitude-l1", "fpgm", "bn-scale")).eval())
    assert REFERENCE[criterion]
    for group, theirs in REFERENCE[criterion].items():
        assert ours[group].argsort().tolist() == torch.tensor(theirs).argsort().tolist()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_rates_every_unit_of_every_group(criterion: str) -> None:
    model = Network(norm=True).eval()
    graph = trace(model, X)
    scores = rated(criterion, model)
    assert {name: len(values) for name, values in scores.items()} == {g.name: g.size for g in graph.groups}
    assert all(torch.isfinite(values).all() for values in scores.values())


class WithNothingBeside(nn.Module):
    """Its units have rows of no columns beside their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(X.shape[1] * X[0, 0].numel(), 8), nn.Linear(8, 5)
        self.norm = nn.BatchNorm1d(8)
        nn.init.uniform_(self.norm.weight)
        self.nothing = nn.Parameter(torch.empty(8, 0))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.first(x.flatten(1)))
        return self.last(hidden) + (hidden @ self.nothing).sum(1, keepdim=True)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_parameters_without_elements_add_nothing(criterion: str) -> None:
    scores = rated(criterion, WithNothingBeside().eval())
    assert [torch.isfinite(values).all().item() for values in scores.values()] == [True]


def test_first_order_scores_are_how_much_the_loss_changes_weight_by_weight() -> None:
    model = Network(norm=False).eval().double()
    graph = trace(model, X.double())
    group = graph.group_of("hidden")
    assert group is not None
    scores = score(graph, "taylor", batches=[(X.double(), LABELS)], loss=loss, normalise="none")[group.name]
    expected = torch.zeros(group.size)
    with torch.no_grad():
        for member in group.members:
            weight = dict(model.named_parameters())[member.parameter]
            for unit in range(group.size):
                for weight_of_unit in weight.select(member.dim, unit):
                    kept, step = weight_of_unit.clone(), 1e-6
                    change = []
                    for sign in (1, -1):
                        weight_of_unit.copy_(kept * (1 + sign * step))
                        change.append(float(loss(model, (X.double(), LABELS))))
                        weight_of_unit.copy_(kept)
                    expected[unit] += abs(change[0] - change[1]) / (2 * step)
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-7)


def test_second_order_scores_use_the_gradient_of_every_example_where_the_loss_gives_one_for_each() -> None:
    def each(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

    graph = trace(Network(norm=False).eval(), X)
    together = score(graph, "obd-c", batches=[BATCH], loss=each, normalise="none")
    apart = [(X[n : n + 1], LABELS[n : n + 1]) for n in range(len(X))]
    one_by_one = score(graph, "obd-c", batches=apart, loss=loss, normalise="none")
    for name in together:
        torch.testing.assert_close(together[name], one_by_one[name])


def test_input_norms_are_those_of_what_the_layer_was_given() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, groups=2)
            self.up = nn.ConvTranspose2d(6, 8, 2)
            self.free = nn.Parameter(torch.randn(8, 5))
            self.out = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.up(self.conv(x)).mean((2, 3))
            y: Tensor = self.out(x @ self.free)
            return y

    model, x = Mixed().eval(), torch.randn(3, 4, 8, 8)
    seen: dict[str, Tensor] = {}
    for name in ("conv", "up", "out"):
        getattr(model, name).register_forward_pre_hook(
            lambda module, inputs, name=name: seen.__setitem__(name, inputs[0].transpose(0, 1).flatten(1).norm(dim=1))
        )
    norms = gathered(trace(model, x), INPUT_NORMS, [x], None, asked="a test")
    model(x)
    torch.testing.assert_close(norms["out.weight"], seen["out"].expand(2, 5))
    torch.testing.assert_close(norms["up.weight"], seen["up"].view(6, 1, 1, 1).expand(6, 8, 2, 2))
    grouped = torch.cat([seen["conv"][:2].expand(3, 2), seen["conv"][2:].expand(3, 2)])
    torch.testing.assert_close(norms["conv.weight"], grouped[:, :, None, None].expand(6, 2, 3, 3))
    free = model.up(model.conv(x)).mean((2, 3)).norm(dim=0)
    torch.testing.assert_close(norms["free"], free.detach()[:, None].expand(8, 5))


def test_attention_with_packed_projections_has_input_norms() -> None:
    model, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.randn(2, 5, 8)
    norms = gathered(trace(model, x), INPUT_NORMS, [x], None, asked="a test")
    expected = x.flatten(0, 1).norm(dim=0).expand(24, 8)
    torch.testing.assert_close(norms["self_attn.in_proj_weight"], expected)


def test_random_scores_differ_by_seed_alone() -> None:
    first, same, other = (rated("random", Network(norm=True), seed=seed)["hidden"] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_model_comes_back_as_it_was_found() -> None:
    model = Network(norm=True).train()
    model.hidden.weight.requires_grad_(False)
    model.out.weight.grad = torch.ones_like(model.out.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for criterion in CRITERIA:
        rated(criterion, model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [name for name, weight in model.named_parameters() if weight.grad is not None] == ["out.weight"]
    assert torch.equal(model.out.weight.grad, torch.ones_like(model.out.weight))
    assert not model.hidden.weight.requires_grad


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_a_reduction_makes_one_number_of_what_the_members_say(reduce: str) -> None:
    graph = trace(flattened(), torch.randn(1, 3, 8, 8))
    group = graph.group("0")
    rows = member_importance(graph, group)[[not member.is_buffer for member in group.members]].double()
    expected = {
        "sum": rows.sum(0),
        "mean": rows.mean(0),
        "max": rows.amax(0),
        "product": rows.prod(0) ** (1 / len(rows)),
        "first": rows[0],
    }[reduce]
    found = score(graph, reduce=reduce, normalise="none")["0"]
    torch.testing.assert_close(found, expected.float())


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        ("none", [1.0, 2, 3, 6]),
        ("mean", [1 / 3, 2 / 3, 1, 2]),
        ("topn", [1 / 4.5, 2 / 4.5, 3 / 4.5, 6 / 4.5]),
        ("max", [1 / 6, 2 / 6, 3 / 6, 1]),
        ("sum", [1 / 12, 2 / 12, 3 / 12, 6 / 12]),
        ("standardised", [-2 / 3.5**0.5, -1 / 3.5**0.5, 0, 3 / 3.5**0.5]),
        ("lamp", [1 / 12, 2 / 11, 3 / 9, 1]),
    ],
)
def test_a_normalisation_makes_groups_comparable(normalise: str, expected: list[float]) -> None:
    torch.testing.assert_close(NORMALISATIONS[normalise](torch.tensor([1.0, 2, 3, 6]), 0.5), torch.tensor(expected))


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_units_that_are_all_alike_get_finite_equal_scores(normalise: str) -> None:
    for value in (0.0, 2.0):
        found = NORMALISATIONS[normalise](torch.full((4,), value), 1.0)
        assert torch.isfinite(found).all()
        if normalise != "lamp":
            assert found.unique().numel() == 1


def broken(model: nn.Module, batch: Any) -> Tensor:
    return loss(model, batch) * float("nan")


def generator() -> Iterator[Any]:
    yield from ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "salience"}, "no criterion of that name"),
        ({"reduce": "median"}, "no reduce of that name"),
        ({"normalise": "unit"}, "no normalise of that name"),
        ({"top": 0.0}, "over 0 and up to 1"),
        ({"criterion": "taylor"}, "there are no batches"),
        ({"criterion": "taylor", "batches": [BATCH]}, "there are no loss"),
        ({"criterion": "taylor", "batches": generator(), "loss": loss}, "there is no batch"),
        ({"criterion": "taylor", "batches": [BATCH, (X[:, :2], LABELS)], "loss": loss}, "batch 2"),
        ({"criterion": "obd-c", "batches": [BATCH], "loss": broken}, "the loss is .nan"),
        ({"criterion": "taylor", "batches": [BATCH], "loss": lambda model, batch: 1.0}, "loss returned float"),
        ({"criterion": "wanda", "batches": [7]}, "batch 1"),
    ],
)
def test_what_cannot_be_rated_is_said(options: dict[str, Any], message: str) -> None:
    graph = trace(Network(norm=True), X)
    with pytest.raises(BadInput, match=message):
        score(graph, **options)


def test_weights_that_are_no_number_are_named() -> None:
    model = Network(norm=True)
    with torch.no_grad():
        model.second.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(BadInput, match=r"second\.weight"):
        score(trace(model, X))


def test_a_criterion_with_nothing_to_go_by_is_refused() -> None:
    with pytest.raises(BadInput, match="tells no unit of any of the 2 groups"):
        score(trace(Network(norm=False), X), "bn-scale")
