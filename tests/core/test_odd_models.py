"""Everything a model may be: half of every group goes, exactly, or the refusal says why."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from prunescope.core import plan, predicted, prune, score, trace
from prunescope.core.errors import BadInput
from prunescope.core.measure import macs, parameters


def sequence(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + weight.t()


def with_parametrization() -> nn.Module:
    model = sequence(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    parametrize.register_parametrization(model[2], "weight", Symmetric())
    return model


def weight_norm() -> nn.Module:
    return sequence(
        parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), parametrizations.weight_norm(nn.Linear(8, 3))
    )


def spectral_norm() -> nn.Module:
    return sequence(parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.Conv2d(8, 4, 3))


def lazy() -> nn.Module:
    model = sequence(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    model(torch.zeros(1, 3, 8, 8))
    return model


class Twice(nn.Module):
    """One layer called twice, its own input its output."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.step, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        return self.out(self.step(self.step(x).relu()).relu())


class Bare(nn.Module):
    """Bare parameters, a gate with one channel, and a buffer of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(8, 4))
        self.second = nn.Parameter(torch.randn(3, 8))
        self.gate = nn.Linear(4, 1)
        self.register_buffer("scale", torch.rand(8) + 0.5)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("order", torch.arange(3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = (x @ self.first.t()).relu() * self.scale * self.gate(x).sigmoid()
        return (hidden @ self.second.t())[:, self.order] * self.count


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8, dtype=torch.complex64)
        self.second = nn.Linear(8, 3, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(torch.complex(x, x.flip(0)))).abs()


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 6), nn.Linear(4, 8)
        self.both, self.out = nn.Bilinear(6, 8, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.both(self.left(x), self.right(x)).relu())


class Generated(nn.Module):
    """A layer whose weights another layer makes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.make, self.out = nn.Linear(4, 6), nn.Linear(5, 48), nn.Linear(8, 3)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        weight = self.make(task).view(self.out.in_features, self.embed.out_features)
        return self.out(functional.linear(self.embed(x), weight).relu())


class Deciding(nn.Module):
    """Control flow that depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if x.sum() > 0:
            x = self.second(x).relu()
        return self.out(x)


@dataclass
class Found:
    logits: Tensor
    extra: dict[str, Tensor]


Pair = namedtuple("Pair", "one other")


class Nested(nn.Module):
    """Keyword and nested inputs, a dataclass with a dict and a named tuple as outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, *, batch: dict[str, Any], flag: bool = False) -> tuple[Found, Pair]:
        hidden = self.first(batch["x"]).relu()
        logits = self.out(hidden) + batch["more"][0]
        return Found(logits, {"sum": hidden.sum(1)}), Pair(logits, logits.argmax(1))


class PartlyUsed(nn.Module):
    """Positions beyond the length of the input are not read, and one head of two is not run."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions = nn.Linear(4, 8), nn.Parameter(torch.randn(16, 8))
        self.used, self.unused = nn.Linear(8, 3), nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.used((self.embed(x) + self.positions[: x.shape[1]]).relu()).mean(1)


class Inferring(nn.Module):
    """Runs in inference mode, where torch does not take its own operations apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.silu(self.second(self.first(x).relu()))).softmax(-1)


class Deep(nn.Module):
    """Weights shared across depth, and tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.step, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for _ in range(3):
            x = self.norm(x + self.step(x).relu())
        return self.head(x)


class Splines(nn.Module):
    """A layer of learned functions (KAN): a table of knots that divides by its own differences."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.randn(width_out, width_in) / 4)
        self.spline = nn.Parameter(torch.randn(width_out, width_in, 4) / 4)
        self.register_buffer("knots", torch.linspace(-2, 2, 7).expand(width_in, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        at, knots = x.unsqueeze(-1), self.knots
        bases = ((at >= knots[:, :-1]) & (at < knots[:, 1:])).to(x.dtype)
        for k in (1, 2):
            rising = (at - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
            falling = (knots[:, k + 1 :] - at) / (knots[:, k + 1 :] - knots[:, 1:-k])
            bases = rising * bases[..., :-1] + falling * bases[..., 1:]
        splines = functional.linear(bases.flatten(1), self.spline.flatten(1))
        return functional.linear(functional.silu(x), self.base) + splines


class Detecting(nn.Module):
    """A head with a norm runs on what a score selects, which may be nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.score = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
        self.head = sequence(nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x).relu()
        scores = self.score(x)
        found = x[scores.mean((1, 2, 3)) > 100]
        return scores, self.head(found)


class TimeShift(nn.Module):
    """Some channels come from the frame before and some from the one behind, written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.frames, self.share = 4, 8
        self.first, self.second = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        count, channels, height, width = x.size()
        x = x.view(count // self.frames, self.frames, channels, height, width)
        fold = channels // self.share
        shifted = torch.zeros_like(x)
        shifted[:, :-1, :fold] = x[:, 1:, :fold]
        shifted[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
        shifted[:, :, 2 * fold :] = x[:, :, 2 * fold :]
        return self.out(self.second(shifted.view(count, channels, height, width)).relu().mean((2, 3)))


class Modulated(nn.Module):
    """A style scales the weights of a convolution for every example, which are groups of one convolution (StyleGAN)."""

    def __init__(self) -> None:
        super().__init__()
        self.style = sequence(nn.Linear(5, 16), nn.LeakyReLU(0.2))
        self.constant = nn.Parameter(torch.randn(1, 8, 4, 4))
        self.scale, self.weight = nn.Linear(16, 8), nn.Parameter(torch.randn(1, 12, 8, 3, 3))
        self.out = nn.Conv2d(12, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.constant.repeat(z.shape[0], 1, 1, 1)
        batch, channels, height, width = x.shape
        weight = self.weight * self.scale(self.style(z)).view(batch, 1, channels, 1, 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
        weight = weight.view(-1, channels, 3, 3)
        x = functional.conv2d(x.view(1, -1, height, width), weight, padding=1, groups=batch)
        return self.out(functional.leaky_relu(x.view(batch, -1, height, width), 0.2))


class Spectral(nn.Module):
    """Complex weights mix the channels of the lowest frequencies (Fourier neural operator)."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.modes = 12, 3
        self.lift, self.skip, self.out = nn.Conv2d(2, 12, 1), nn.Conv2d(12, 12, 1), nn.Conv2d(12, 2, 1)
        self.weight = nn.Parameter(torch.randn(12, 12, 3, 3, dtype=torch.cfloat) / 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        low = torch.fft.rfft2(x)[:, :, : self.modes, : self.modes]
        full = torch.zeros(x.shape[0], self.width, x.size(-2), x.size(-1) // 2 + 1, dtype=torch.cfloat)
        full[:, :, : self.modes, : self.modes] = torch.einsum("bixy,ioxy->boxy", low, self.weight)
        return self.out(functional.gelu(torch.fft.irfft2(full, s=x.shape[-2:]) + self.skip(x)))


class Pointing(nn.Module):
    """A learned first input, handed on as a view; then what attention points at."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.cell = nn.LSTM(4, 12, batch_first=True), nn.LSTMCell(12, 12)
        self.start = nn.Parameter(torch.randn(12))
        self.left, self.right, self.score = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        encoded, (hidden, cell) = self.encoder(x)
        state, given, found = (hidden[0], cell[0]), self.start.unsqueeze(0).expand(x.size(0), -1), []
        for _ in range(2):
            state = self.cell(given, state)
            found.append(self.score(torch.tanh(self.left(encoded) + self.right(state[0]).unsqueeze(1))).squeeze(-1))
            place = found[-1].argmax(1).view(-1, 1, 1).expand(-1, -1, encoded.size(-1))
            given = encoded.gather(1, place).squeeze(1)
        return torch.stack(found, 1)


class Sampling(nn.Module):
    """Random numbers of the size of a hidden dimension, and dropout that never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 12
        self.encode, self.mean, self.spread = nn.Linear(5, 16), nn.Linear(16, 12), nn.Linear(16, 12)
        self.decode = sequence(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = functional.dropout(self.encode(functional.dropout(x, training=True)).relu(), 0.2, training=True)
        mean, spread = self.mean(hidden), self.spread(hidden)
        drawn = self.decode(mean + (spread / 2).exp() * torch.randn_like(mean))
        kept = torch.bernoulli(mean[0], p=0.5)
        return drawn, self.decode(mean * kept * torch.rand(x.shape[0], self.size))


def image() -> Tensor:
    return torch.randn(2, 3, 8, 8)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "parametrization": (with_parametrization, lambda: torch.randn(2, 6)),
    "weight norm": (weight_norm, lambda: torch.randn(2, 6)),
    "spectral norm": (spectral_norm, image),
    "lazy": (lazy, image),
    "a layer called twice": (Twice, lambda: torch.randn(2, 4)),
    "bare parameters": (Bare, lambda: torch.randn(2, 4)),
    "complex": (Complex, lambda: torch.randn(2, 4)),
    "bilinear": (Bilinear, lambda: torch.randn(2, 4)),
    "generated weights": (Generated, lambda: (torch.randn(2, 4), torch.randn(5))),
    "deciding by values": (Deciding, lambda: torch.randn(2, 4)),
    "nested": (Nested, lambda: {"batch": {"x": torch.randn(2, 4), "more": [torch.randn(2, 3)]}, "flag": True}),
    "partly used": (PartlyUsed, lambda: torch.randn(2, 5, 4)),
    "inference mode": (Inferring, lambda: torch.randn(2, 4)),
    "shared across depth": (Deep, lambda: torch.randint(0, 20, (2, 5))),
    "splines": (lambda: sequence(Splines(4, 8), Splines(8, 8), Splines(8, 3)), lambda: torch.rand(5, 4)),
    "nothing detected": (Detecting, image),
    "shifted in time": (TimeShift, lambda: torch.randn(8, 3, 8, 8)),
    "modulated weights": (Modulated, lambda: torch.randn(2, 5)),
    "complex frequencies": (Spectral, lambda: torch.randn(2, 2, 8, 8)),
    "pointing": (Pointing, lambda: torch.randn(2, 6, 4)),
    "sampling": (Sampling, lambda: torch.randn(3, 5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_half_of_every_group_goes_and_the_rest_is_exact(name: str) -> None:
    torch.manual_seed(0)
    build, inputs = MODELS[name]
    model, example = build().eval(), inputs()
    graph = trace(model, example)
    graph.check()
    chosen = plan(graph, score(graph), ratio=0.5)
    result = prune(model, chosen)
    assert not result.left_out
    assert result.verification is not None
    assert result.verification.difference is not None
    assert parameters(result.model) < parameters(model)
    assert predicted(graph, chosen).parameters == parameters(result.model)
    assert predicted(graph, chosen).macs == macs(result.model, example)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return sequence(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_model_is_cut_in_its_own_precision(dtype: torch.dtype) -> None:
    model, example = small().eval().to(dtype), image().to(dtype)
    graph = trace(model, example)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.verification is not None
    assert result.verification.difference is not None
    assert {parameter.dtype for parameter in result.model.parameters()} == {dtype}


def test_a_model_in_training_mode_stays_in_it_and_its_statistics_do_not_move() -> None:
    model, example = small().train(), image()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    graph = trace(model, example)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert all(module.training for module in (*model.modules(), *result.model.modules()))
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_frozen_parameters_stay_frozen() -> None:
    model, example = small().eval(), image()
    model[0].weight.requires_grad_(False)
    graph = trace(model, example)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    frozen = {name for name, parameter in result.model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"0.weight"}


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda m: nn.DataParallel(torch.compile(m))])
def test_a_wrapper_is_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model, example = small().eval(), image()
    wrapped = wrap(model)
    graph = trace(wrapped, example)
    assert graph.model is model
    result = prune(wrapped, plan(graph, score(graph), ratio=0.5))
    assert type(result.model) is nn.Sequential


@pytest.mark.filterwarnings("ignore:.torch.jit.*deprecated", "ignore:torch.quantize")
def test_what_cannot_be_traced_is_refused_with_the_reason() -> None:
    refused = {
        "TorchScript": torch.jit.trace(small().eval(), image()),
        "quantised": sequence(nn.Conv2d(3, 8, 3), torch.ao.nn.quantized.Linear(8, 4)),
        "lazy": nn.LazyLinear(5),
    }
    for word, model in refused.items():
        with pytest.raises(BadInput, match=word):
            trace(model, image())


def test_a_model_without_values_is_planned_and_cut() -> None:
    with torch.device("meta"):
        model, example = Deep(), torch.zeros(2, 5, dtype=torch.long)
    graph = trace(model, example)
    chosen = plan(graph, score(graph), ratio=0.5)
    result = prune(model, chosen)
    assert predicted(graph, chosen).parameters == parameters(result.model) < parameters(model)
    assert result.verification is not None
    assert "meta device" in result.verification.not_compared
