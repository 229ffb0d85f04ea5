"""A factor that the code makes of a size keeps its value through a cut: what yields the query takes up the change."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from prunescope.core import DependencyGraph, Plan, plan, prune, score, trace
from prunescope.core.surgery import Folded, Pruned

HEADS, WIDTH = 4, 8


def fused(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def by_shape(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(-1) @ v


def by_attribute(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q * attention.head_dim**-0.5 @ k.transpose(-2, -1)).softmax(-1) @ v


def half_on_either_side(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scale = 1 / math.sqrt(math.sqrt(k.shape[-1]))
    return ((q * scale) @ (k * scale).transpose(-2, -1)).softmax(-1) @ v


def by_tensor(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / torch.full([], q.size(-1) ** 0.5)).softmax(-1) @ v


def along_edges(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each position attends to two others, which are looked up: as graph attention does."""
    length = q.shape[2]
    one, other = torch.arange(length).repeat_interleave(2), (torch.arange(2 * length) * 3 + 1) % length
    products = (q.index_select(2, one) * k[:, :, other]).sum(-1) / math.sqrt(q.size(-1))
    weights = products.unflatten(-1, (length, 2)).softmax(-1)
    return (weights.unsqueeze(-1) * v[:, :, other].unflatten(2, (length, 2))).sum(3)


def kept(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) * attention.scaling).softmax(-1) @ v


def rotated(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    angles = torch.arange(q.shape[-2]).view(-1, 1).float()

    def turned(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x * angles.cos() + torch.cat([-x[..., half:], x[..., :half]], -1) * angles.sin()

    return functional.scaled_dot_product_attention(turned(q), turned(k), v)


def rotated_as_complex(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Neighbours are the parts of one number, which a buffer turns."""
    angles = attention.angles[: q.shape[-2], None]
    turns = torch.polar(torch.ones_like(angles), angles)

    def turned(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    return (turned(q) @ turned(k).transpose(-2, -1) / math.sqrt(attention.head_dim)).softmax(-1) @ v


Attend = Callable[["Attention", Tensor, Tensor, Tensor], Tensor]


class Attention(nn.Module):
    """Three projections, and a way to attend."""

    def __init__(self, attend: Attend, norm: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.attend, self.head_dim, self.scaling = attend, WIDTH, WIDTH**-0.5
        self.q, self.k, self.v = (nn.Linear(6, HEADS * WIDTH) for _ in range(3))
        self.q_norm, self.k_norm = norm(), norm()
        self.out = nn.Linear(HEADS * WIDTH, 3)
        self.register_buffer("angles", torch.arange(8.0))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (f(x).view(*x.shape[:2], HEADS, self.head_dim).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.q_norm(q), self.k_norm(k), v

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.attend(self, *self.project(x)).transpose(1, 2).flatten(2))


class Packed(Attention):
    """The rows of one weight yield query, key and value, those of a head next to each other."""

    def __init__(self) -> None:
        super().__init__(fused)
        self.qkv = nn.Linear(6, HEADS * 3 * WIDTH)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv = self.qkv(x).view(*x.shape[:2], HEADS, 3 * self.head_dim).transpose(1, 2)
        q, k, v = qkv.chunk(3, -1)
        return q, k, v


class Torchs(nn.Module):
    """torch's own attention, with or without its weights as a second result."""

    def __init__(self, need_weights: bool, **options: Any) -> None:
        super().__init__()
        self.need_weights = need_weights
        width = HEADS * WIDTH
        self.q, self.k, self.v = (nn.Linear(6, options.get(name, width)) for name in ("qdim", "kdim", "vdim"))
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True, **options)
        nn.init.normal_(self.attention.in_proj_bias)
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        return self.out(self.attention(q, k, v, need_weights=self.need_weights)[0])


def cut_in_half(model: nn.Module, example: Any) -> Pruned:
    graph = trace(model.eval(), example)
    return prune(model, plan(graph, score(graph), 0.5, kind="head dimensions"))


def widths(result: Pruned) -> set[tuple[int, int]]:
    """Of every group of head dimensions that was cut: how many go, of how many."""
    named = result.graph.groups_by_name
    return {
        (len(removal.units), removal.size)
        for removal in result.plan.removals
        if named[removal.group].kind == "head dimensions"
    }


def folded(result: Pruned) -> list[Folded]:
    return [repair for repair in result.repairs if isinstance(repair, Folded)]


def zeroed(graph: DependencyGraph, chosen: Plan) -> nn.Module:
    """The original with the removed slices set to zero."""
    model = copy.deepcopy(graph.model)
    parameters = dict(model.named_parameters())
    for removal in chosen.removals:
        for member in graph.group(removal.group).members:
            indices = torch.from_numpy(member.of_units(list(removal.units)))
            parameters[member.parameter].data.index_fill_(member.dim, indices, 0)
    return model


EXACT: dict[str, Callable[[], nn.Module]] = {
    **{attend.__name__: lambda attend=attend: Attention(attend) for attend in (fused, by_shape, by_attribute, rotated)},
    **{attend.__name__: lambda attend=attend: Attention(attend) for attend in (half_on_either_side, by_tensor)},
    "rotated as complex": lambda: Attention(rotated_as_complex),
    "along edges": lambda: Attention(along_edges),
    "packed": Packed,
    "torch's": lambda: Torchs(need_weights=False),
    "torch's, with its weights": lambda: Torchs(need_weights=True),
    "torch's, of other widths": lambda: Torchs(need_weights=False, kdim=20, vdim=12),
}


@pytest.mark.parametrize("name", EXACT)
def test_half_of_the_head_dimensions_go_and_the_rest_equals_the_original_without_them(name: str) -> None:
    torch.manual_seed(0)
    model, x = EXACT[name](), 3 * torch.randn(2, 5, 6)
    result = cut_in_half(model, x)
    assert {gone / size for gone, size in widths(result)} == {0.5}
    assert folded(result)
    with torch.no_grad():
        expected, found = zeroed(result.graph, result.plan)(x), result.model(x)
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_in_another_precision_the_cut_is_exact_but_for_the_rounding_of_the_rows(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    result = cut_in_half(Attention(by_shape).to(dtype), 3 * torch.randn(2, 5, 6, dtype=dtype))
    assert widths(result) == {(WIDTH // 2, WIDTH)}
    assert folded(result)
    assert result.left_out == ()
    assert result.model.q.weight.dtype == dtype


def test_only_the_rows_that_yield_the_query_are_scaled_and_the_repairs_say_so() -> None:
    torch.manual_seed(0)
    model = Attention(fused)
    result = cut_in_half(model, torch.randn(2, 5, 6))
    (removal,) = (r for r in result.plan.removals if r.group.startswith("q"))
    left = [unit for unit in range(WIDTH) if unit not in removal.units]
    for name, factor in (("q", 0.5**0.5), ("k", 1.0)):
        before, after = getattr(model, name), getattr(result.model, name)
        for kind in ("weight", "bias"):
            rows = getattr(before, kind).view(HEADS, WIDTH, -1)[:, left]
            torch.testing.assert_close(getattr(after, kind).view(HEADS, WIDTH // 2, -1), rows * factor)
    words = "times 0.7071: keeps the factor that the code makes of a size 8 -> 4"
    assert {str(repair) for repair in folded(result)} == {f"q.weight[0:32] {words}", f"q.bias[0:32] {words}"}


def test_a_scale_that_is_stored_as_a_number_keeps_its_value_by_itself() -> None:
    result = cut_in_half(Attention(kept), torch.randn(2, 5, 6))
    assert widths(result) == {(WIDTH // 2, WIDTH)}
    assert not folded(result)


def test_whole_heads_leave_the_temperature_alone() -> None:
    model = Torchs(need_weights=False).eval()
    graph = trace(model, torch.randn(2, 5, 6))
    result = prune(model, plan(graph, score(graph), 0.5))
    assert result.model.attention.num_heads == HEADS // 2
    assert not folded(result)


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("attend", [fused, rotated_as_complex])
def test_a_norm_on_the_query_takes_the_factor_up_in_its_own_weights(norm: type[nn.Module], attend: Attend) -> None:
    torch.manual_seed(0)
    result = cut_in_half(Attention(attend, lambda: norm(WIDTH)), torch.randn(2, 5, 6))
    assert (WIDTH // 2) / WIDTH in {gone / size for gone, size in widths(result)}
    assert {repair.rows.parameter for repair in folded(result)} <= {"q_norm.weight", "q_norm.bias"}
    assert folded(result)
    assert result.verification is not None
    assert result.verification.difference is not None


class SharedNorm(Attention):
    def __init__(self) -> None:
        super().__init__(fused, lambda: nn.LayerNorm(WIDTH))
        self.k_norm = self.q_norm


class SharedProjection(Attention):
    def __init__(self) -> None:
        super().__init__(fused)
        self.k = self.q


class QueryIsRead(Attention):
    def __init__(self) -> None:
        super().__init__(fused)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().project(x)
        return q, k, v * q.sigmoid()


LOCKED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a norm without weights": (
        lambda: Attention(fused, lambda: nn.LayerNorm(WIDTH, elementwise_affine=False)),
        "nothing before it has a scale that it could be folded into",
    ),
    "a norm that the key has too": (SharedNorm, "folding it into q_norm.weight and q_norm.bias would change"),
    "a projection that the key has too": (SharedProjection, "would change more than a scale in aten._scaled_dot"),
    "a query that is read elsewhere": (QueryIsRead, "would change more than a scale in aten.sigmoid"),
}


@pytest.mark.parametrize("name", LOCKED)
def test_where_nothing_can_take_the_factor_up_the_width_is_locked_with_the_reason(name: str) -> None:
    build, reason = LOCKED[name]
    graph = trace(build().eval(), torch.randn(2, 5, 6))
    locks = [lock.reason for lock in graph.record.space.locks]
    assert any(lock.startswith("its width sets the temperature of the attention, and ") for lock in locks)
    assert any(reason in lock for lock in locks)
    assert plan(graph, score(graph), 0.5).removals == ()


def test_weights_shared_across_depth_take_the_factor_up_once() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.into = Attention(fused), nn.Linear(3, 6)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = x + self.into(self.attention(x))
            return x

    result = cut_in_half(Deep(), torch.randn(2, 5, 6))
    assert widths(result) == {(WIDTH // 2, WIDTH)}
    assert sorted(repair.rows.parameter for repair in folded(result)) == ["attention.q.bias", "attention.q.weight"]


def vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64)


def timms() -> nn.Module:
    timm = pytest.importorskip("timm")
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3)
    return model


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(nn.Linear(6, 32), nn.TransformerEncoder(layer, 2), nn.Linear(32, 3))


IMAGE = torch.randn(2, 3, 32, 32)
WHOLE: dict[str, tuple[Callable[[], nn.Module], Tensor, tuple[int, int]]] = {
    "torchvision's": (vision_transformer, IMAGE, (4, 8)),
    "timm's": (timms, IMAGE, (32, 64)),
    "torch's": (encoder, torch.randn(2, 5, 6), (4, 8)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WHOLE)
def test_transformers_lose_half_of_their_head_dimensions_exactly(name: str) -> None:
    torch.manual_seed(0)
    build, example, expected = WHOLE[name]
    result = cut_in_half(build(), example)
    assert widths(result) == {expected}
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert len(folded(result)) == 4


HUGGING_FACE: dict[str, dict[str, Any]] = {
    "Bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
    "Llama": {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
        "num_key_value_heads": 2,
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HUGGING_FACE)
def test_models_that_store_their_scale_need_no_fold(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(vocab_size=50, **HUGGING_FACE[name])
    model = getattr(transformers, f"{name}Model")(config)
    result = cut_in_half(model, {"input_ids": torch.randint(0, 50, (2, 7))})
    assert widths(result)
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert not folded(result)
