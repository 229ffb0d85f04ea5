"""Ways in which people write models: what can be cut is cut, and the result is exact."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional
from torch.nn.utils import rnn

from prunescope.core import plan, predicted, prune, score, trace
from prunescope.core.inputs import as_call
from prunescope.core.measure import macs, parameters

Build = Callable[[], tuple[nn.Module, Any]]
LENGTHS = torch.tensor([5, 3, 2])
GRAPH = (torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) > 0.6).float().to_sparse()


class Code(nn.Module):
    """Layers, and a forward pass in a function of them."""

    def __init__(self, forward: Callable[..., Tensor], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.code = forward

    def forward(self, *inputs: Any) -> Tensor:
        return self.code(self, *inputs)


def graph_network(product: Callable[[Tensor, Tensor], Tensor], given: bool) -> Build:
    """Graph convolutions by a sparse matrix: a buffer, or an argument."""

    def forward(m: Any, x: Tensor, graph: Tensor | None = None) -> Tensor:
        graph = m.graph if graph is None else graph
        return m.c(product(graph, torch.relu(m.b(product(graph, torch.relu(m.a(x)))))))

    def build() -> tuple[nn.Module, Any]:
        model = Code(forward, a=nn.Linear(7, 32), b=nn.Linear(32, 16), c=nn.Linear(16, 2))
        if not given:
            model.register_buffer("graph", GRAPH)
        return model, (torch.randn(9, 7), GRAPH) if given else torch.randn(9, 7)

    return build


def moving_mean(m: Any, x: Tensor) -> Tensor:
    x = m.a(x).relu()
    m.kept = 0.9 * m.kept + 0.1 * x.detach().mean(0)
    return m.out(m.b(x - m.kept).relu())


def counted(m: Any, x: Tensor) -> Tensor:
    m.runs += 1
    return m.out(m.a(x).relu() * (1 + 1 / m.runs))


def gated(x: Tensor, width: int) -> Tensor:
    return torch.tanh(x[:, :width]) * torch.sigmoid(x[:, width:])


def scripted_gates() -> tuple[nn.Module, Tensor]:
    with warnings.catch_warnings():
        # torch will take scripts away some day; until then people have them
        warnings.simplefilter("ignore", FutureWarning)
        scripted = torch.jit.script(gated)
    layers = {"both": nn.Linear(12, 32), "out": nn.Linear(16, 3)}
    return Code(lambda m, x: m.out(scripted(m.both(x), m.width)), width=16, **layers), torch.randn(4, 12)


def packed(layer: Callable[..., nn.Module], last: bool, **options: Any) -> Build:
    """A recurrent layer over sequences of several lengths: its last state, or its steps unpacked again."""

    def forward(m: Any, x: Tensor) -> Tensor:
        steps, state = m.rnn(rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
        state = state[0] if isinstance(state, tuple) else state
        found = state[-1] if last else rnn.pad_packed_sequence(steps, batch_first=True)[0].sum(1)
        return m.out(found)

    width = 24 * (2 if options.get("bidirectional") and not last else 1)
    return lambda: (
        Code(forward, rnn=layer(6, 24, batch_first=True, **options), out=nn.Linear(width, 2)),
        torch.randn(3, 5, 6),
    )


def image(forward: Callable[..., Tensor], **layers: Any) -> Build:
    return lambda: (Code(forward, **layers), torch.randn(2, 3, 8, 8))


def repeated(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    _, channels, height, width = x.size()
    shares = x.mean(1).flatten(1).mean(1).view(-1, 1, 1, 1)
    return m.b(m.c(x) * shares.repeat(1, channels, height, width))


def tiled(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(x * torch.tile(x.mean((1, 2, 3)).view(-1, 1, 1, 1), (m.a.out_channels, 1, 1)))


def interleaved(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(x * x.mean(1, keepdim=True).repeat_interleave(x.shape[1], dim=1))


def widened(m: Any, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(functional.pad(x, (0, 0, 0, 0, x.shape[1], 0)))


def grouped_by_example(m: Any, x: Tensor) -> Tensor:
    """Weights of each example, as dynamic convolutions have: the batch is convolved in groups."""
    x = m.a(x)
    n, _, height, width = x.shape
    weight = m.w[None].expand(n, -1, -1, -1, -1).reshape(n * m.width, m.width // m.groups, 1, 1)
    out = functional.conv2d(x.reshape(1, -1, height, width), weight, groups=m.groups * n)
    return m.b(out.view(n, m.width, height, width))


def stacked_heads(m: Any, x: Tensor) -> Tensor:
    """Heads one behind the other in the batch, their width a quotient that nothing else asks for."""
    q, k, v = (torch.cat(layer(x).split(m.width // m.heads, 2), 0) for layer in (m.q, m.k, m.v))
    attended = (q @ k.transpose(1, 2)).softmax(-1) @ v
    return m.out(torch.cat(attended.split(len(x), 0), 2))


def read_in_halves(m: Any, x: Tensor) -> Tensor:
    """The first call's first half is not read, the last call's second half is not read: other calls read them."""
    first, out = m.hidden(x)[:, m.width :], torch.zeros(())
    for _ in range(2):
        y = m.hidden(x * m.gate(first).sigmoid())
        out, first = out + y[:, : m.width].relu(), y[:, m.width :]
    return m.out(out)


def weight_norm_by_hand(m: Any, x: Tensor) -> Tensor:
    return m.out((x @ (m.g * m.v / m.v.norm(dim=1, keepdim=True)).t()).relu())


def standardised(m: Any, x: Tensor) -> Tensor:
    x = m.a(x).flatten(2)
    return m.b(((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)).relu().mean(-1))


def vectors(forward: Callable[..., Tensor], inputs: Tensor, **layers: Any) -> Build:
    return lambda: (Code(forward, **layers), inputs)


class OwnAttributes(dict[str, int]):
    """Its entries are its attributes."""

    def __init__(self, **entries: int) -> None:
        super().__init__(**entries)
        self.__dict__ = self


class AlsoAttributes(dict[str, int]):
    """Its entries are attributes too, each held a second time."""

    def __init__(self, **entries: int) -> None:
        super().__init__(**entries)
        for name, value in entries.items():
            setattr(self, name, value)


class Refusing(dict[str, int]):
    """Its entries cannot be set."""

    __getattr__ = dict.__getitem__

    def __setitem__(self, name: str, value: int) -> None:
        raise TypeError(f"{name} is frozen")

    def __reduce__(self) -> Any:
        return Refusing, (dict(self),)


@dataclass(frozen=True)
class Frozen:
    width: int
    heads: int


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    width: int
    heads: int


class Named(NamedTuple):
    width: int
    heads: int


def configured(config: Callable[..., Any]) -> Build:
    """Attention whose sizes are all read from a configuration."""

    def forward(m: Any, x: Tensor) -> Tensor:
        c = m.config
        q, k, v = m.qkv(x).view(*x.shape[:2], 3, c.heads, c.width // c.heads).permute(2, 0, 3, 1, 4)
        attended = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return m.out(attended.transpose(1, 2).reshape(*x.shape[:2], c.width))

    return lambda: (
        Code(forward, config=config(width=16, heads=4), qkv=nn.Linear(6, 48), out=nn.Linear(16, 3)),
        torch.randn(2, 5, 6),
    )


class OfItsClass:
    """It has no numbers of its own: all are its class's."""

    width, heads = 16, 4

    def __init__(self, width: int, heads: int) -> None:
        assert (self.width, self.heads) == (width, heads)


class OfClass(nn.Module):
    """Sizes are held by the class."""

    width, heads = 16, 4

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, self.width), nn.Linear(self.width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).view(*x.shape[:2], self.heads, self.width // self.heads)
        out: Tensor = self.b(x.relu().reshape(*x.shape[:2], self.width))
        return out


@lru_cache
def head_shape(shape: tuple[int, ...], heads: int) -> tuple[int, ...]:
    return (*shape[:-1], heads, shape[-1] // heads)


class Splitting(nn.Module):
    """Two layers of the same sizes, each of which is a group of its own; the sizes are kept by a method and outside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 3)
        self.heads = 8

    @lru_cache  # noqa: B019  as people do
    def merged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-2], shape[-2] * shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            x = layer(x)
            x = x.view(head_shape(x.shape, self.heads)).relu()
            x = x.view(self.merged(x.shape))
        return self.out(x)


class Keeping(nn.Module):
    """A method without arguments keeps what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 3)

    @lru_cache  # noqa: B019  as people do
    def width(self) -> int:
        return self.a.out_features

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(x).view(-1, self.width()).relu())
        return out


class SplitHeads(nn.Module):
    """Copies and pickles keep the options alone, and make all else of them."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.options = options
        self.sizes = tuple(options.items())

    def forward(self, x: Tensor) -> Tensor:
        heads = dict(self.sizes)["heads"]
        return x.view(len(x), heads, x.shape[1] // heads)

    def __getstate__(self) -> dict[str, int]:
        return self.options

    def __setstate__(self, options: dict[str, int]) -> None:
        SplitHeads.__init__(self, **options)


def masked(m: Any, x: Tensor) -> Tensor:
    x = m.hidden(x)
    x[x < 0] = 0.0
    return m.out(x)


def filled_up(m: Any, x: Tensor) -> Tensor:
    """Code that takes fewer channels too, and refuses more."""
    x = m.hidden(x)
    if x.shape[1] > m.width:
        raise ValueError("too wide")
    if x.shape[1] < m.width:
        x = torch.cat([x, x.new_zeros(x.shape[0], m.width - x.shape[1])], dim=1)
    return m.out(m.next(x).relu())


def padded_sequences(m: Any, x: Tensor, side: str) -> Tensor:
    sequences = [*m.a(x).split([4, 3])]
    return m.out(rnn.pad_sequence(sequences, batch_first=True, padding_value=0.5, padding_side=side).relu())


def freed(m: Any, x: Tensor) -> Tensor:
    """As reversible blocks give back what they will compute again."""
    left, right = m.a(x).chunk(2, 1)
    made = left.contiguous(), right.contiguous()
    joined = torch.cat([made[0] + m.b(made[1]), made[1]], 1)
    for part in made:
        part.set_()
    return m.out(joined)


def in_pairs(m: Any, x: Tensor) -> Tensor:
    """Sums, and products of pairs behind them, of which there are none."""
    x, sums = m.a(x), m.width
    return m.out(torch.cat([x[:, :sums], x[:, sums::2] * x[:, sums + 1 :: 2]], 1).tanh())


CODE: dict[str, Build] = {
    **{
        f"sizes in {name}": configured(config)
        for name, config in (
            ("a dictionary that is its own attributes", OwnAttributes),
            ("a dictionary with its entries as attributes too", AlsoAttributes),
            ("a dictionary that refuses to be written", Refusing),
            ("a frozen dataclass", Frozen),
            ("a frozen dataclass with slots", FrozenSlots),
            ("a named tuple", Named),
            ("a namespace", SimpleNamespace),
            ("an object's class", OfItsClass),
        )
    },
    "sizes of the class": lambda: (OfClass(), torch.randn(2, 5, 6)),
    "grouped convolution with weights of each example": image(
        grouped_by_example,
        a=nn.Conv2d(3, 32, 3),
        w=nn.Parameter(torch.randn(32, 8, 1, 1)),
        b=nn.Conv2d(32, 2, 1),
        width=32,
        groups=4,
    ),
    "heads in the batch": vectors(
        stacked_heads,
        torch.randn(2, 5, 6),
        q=nn.Linear(6, 16),
        k=nn.Linear(6, 16),
        v=nn.Linear(6, 16),
        out=nn.Linear(16, 3),
        width=16,
        heads=4,
    ),
    "halves that some calls read": vectors(
        read_in_halves,
        torch.randn(4, 12),
        hidden=nn.Linear(12, 16),
        gate=nn.Linear(8, 12),
        out=nn.Linear(8, 3),
        width=8,
    ),
    "weight norm by hand": vectors(
        weight_norm_by_hand,
        torch.randn(4, 12),
        v=nn.Parameter(torch.randn(16, 12)),
        g=nn.Parameter(torch.ones(16, 1)),
        out=nn.Linear(16, 3),
    ),
    "channels standardised by hand": image(standardised, a=nn.Conv2d(3, 16, 3), b=nn.Linear(16, 3)),
    "tensor_split by a named dimension": vectors(
        lambda m, x: m.out(torch.mul(*m.hidden(x).tensor_split(2, dim=-1))),
        torch.randn(4, 12),
        hidden=nn.Linear(12, 32),
        out=nn.Linear(16, 3),
    ),
    "tensor_split": vectors(
        lambda m, x: m.out(torch.mul(*m.hidden(x).tensor_split(2, -1))),
        torch.randn(4, 12),
        hidden=nn.Linear(12, 32),
        out=nn.Linear(16, 3),
    ),
    **{
        f"graph by {name}, {'given' if given else 'kept'}": graph_network(product, given)
        for name, product in (("sparse.mm", torch.sparse.mm), ("spmm", torch.spmm), ("@", lambda a, b: a @ b))
        for given in (False, True)
    },
    "packed LSTM": packed(nn.LSTM, last=True),
    "packed GRU of two layers": packed(nn.GRU, last=True, num_layers=2),
    "packed LSTM, unpacked": packed(nn.LSTM, last=False),
    "packed LSTM both ways, unpacked": packed(nn.LSTM, last=False, bidirectional=True),
    "zeros where a mask is true": vectors(masked, torch.randn(4, 12), hidden=nn.Linear(12, 16), out=nn.Linear(16, 3)),
    "padded up to a size": vectors(
        filled_up, torch.randn(4, 12), hidden=nn.Linear(12, 16), next=nn.Linear(16, 16), out=nn.Linear(16, 3), width=16
    ),
    "heads by a function and a method that keep what they returned": lambda: (Splitting(), torch.randn(4, 12)),
    "a width by a method that keeps what it returned": lambda: (Keeping(), torch.randn(4, 12)),
    "heads by a module that says what it is made of": vectors(
        lambda m, x: m.out((m.split(m.hidden(x)) * m.gain).flatten(1)),
        torch.randn(4, 12),
        hidden=nn.Linear(12, 32),
        split=SplitHeads(heads=8),
        gain=nn.Parameter(torch.randn(8, 1)),
        out=nn.Linear(32, 3),
    ),
    "a tensor that is a plain attribute": vectors(
        lambda m, x: m.out((m.hidden(x) + m.shift).relu()),
        torch.randn(4, 12),
        hidden=nn.Linear(12, 16),
        out=nn.Linear(16, 3),
        shift=torch.randn(16),
    ),
    "a first state as `new` makes it": vectors(
        lambda m, x: m.out(m.cell(x, m.out.weight.data.new(len(x), m.width).zero_())),
        torch.randn(4, 12),
        cell=nn.GRUCell(12, 16),
        out=nn.Linear(16, 3),
        width=16,
    ),
    "a mean that moves with every run": vectors(
        moving_mean, torch.randn(4, 12), a=nn.Linear(12, 16), b=nn.Linear(16, 16), out=nn.Linear(16, 3), kept=True
    ),
    "runs that are counted": vectors(counted, torch.randn(4, 12), a=nn.Linear(12, 16), out=nn.Linear(16, 3), runs=0),
    "gates by a scripted function": scripted_gates,
    "tensors in containers": vectors(
        lambda m, x: m.out((m.hidden(x) * m.held["gain"] + m.pair[0]).relu()),
        torch.randn(4, 12),
        hidden=nn.Linear(12, 16),
        out=nn.Linear(16, 3),
        held={"gain": torch.randn(16)},
        pair=(torch.randn(16), torch.randn(3)),
    ),
    "a recurrent layer's first state, kept as a tuple": vectors(
        lambda m, x: m.out(m.recurrent(m.hidden(x), m.state)[0]),
        torch.randn(2, 7, 12),
        hidden=nn.Linear(12, 16),
        recurrent=nn.LSTM(16, 12, batch_first=True),
        out=nn.Linear(12, 3),
        state=(torch.randn(1, 2, 12), torch.randn(1, 2, 12)),
    ),
    **{
        f"sequences padded {'on the left' if side == 'left' else 'on the right'}": vectors(
            partial(padded_sequences, side=side), torch.randn(7, 12), a=nn.Linear(12, 16), out=nn.Linear(16, 3)
        )
        for side in ("left", "right")
    },
    **{
        f"channels that a pool leaves apart, {name}": image(
            lambda m, x: m.out(m.pool(m.b(m.a(x).relu()).relu().permute(0, 3, 1, 2)).flatten(2)),
            a=nn.Conv2d(3, 16, 3),
            b=nn.Conv2d(16, 32, 3),
            pool=pool,
            out=nn.Linear(32, 4),
        )
        for name, pool in (
            ("whatever their number", nn.AdaptiveAvgPool2d((None, 1))),
            ("by their number", nn.AdaptiveAvgPool2d((32, 1))),
            ("one by one", nn.AvgPool2d((1, 4))),
            ("one by one, the largest", nn.MaxPool2d((1, 4))),
            ("resized", nn.Upsample(size=(32, 1))),
        )
    },
    "kernels as wide as an embedding": lambda: (
        Code(
            lambda m, x: m.out(torch.cat([kernel(m.a(x)[:, None]).relu().amax((2, 3)) for kernel in (m.b, m.c)], 1)),
            a=nn.Embedding(7, 16, max_norm=1.0),
            b=nn.Conv2d(1, 16, (2, 16)),
            c=nn.Conv2d(1, 16, (3, 16)),
            out=nn.Linear(32, 4),
        ),
        torch.randint(7, (2, 9)),
    ),
    "weights of a length at most": image(
        lambda m, x: m.b(functional.conv2d(x, torch.renorm(m.a.weight, 2, 0, 0.5), m.a.bias).relu()),
        a=nn.Conv2d(3, 16, 3),
        b=nn.Conv2d(16, 4, 3),
    ),
    "memory that is given back": image(
        freed, a=nn.Conv2d(3, 16, 3), b=nn.Conv2d(8, 8, 3, padding=1), out=nn.Conv2d(16, 4, 3)
    ),
    "slices that take nothing": vectors(
        in_pairs, torch.randn(4, 12), a=nn.Linear(12, 16), out=nn.Linear(16, 3), width=16
    ),
    "a distribution of one width": vectors(
        lambda m, x: m.out(Normal(m.a(x), 1.0).log_prob(m.b(x))),
        torch.randn(4, 12),
        a=nn.Linear(12, 16),
        b=nn.Linear(12, 16),
        out=nn.Linear(16, 3),
    ),
    "circular padding": image(
        lambda m, x: m.b(functional.pad(m.a(x), (2, 1, 1, 0), mode="circular")),
        a=nn.Conv2d(3, 16, 3, padding=1, padding_mode="circular"),
        b=nn.Conv2d(16, 4, 3),
    ),
    "repeat by a size": image(repeated, a=nn.Conv2d(3, 16, 1), c=nn.Conv2d(16, 16, 1), b=nn.Conv2d(16, 4, 3)),
    "tile by a size": image(tiled, a=nn.Conv2d(3, 16, 3), b=nn.Conv2d(16, 4, 3)),
    "repeat_interleave by a size": image(interleaved, a=nn.Conv2d(3, 16, 3), b=nn.Conv2d(16, 4, 3)),
    "padding by a size": image(widened, a=nn.Conv2d(3, 16, 3), b=nn.Conv2d(32, 4, 3)),
}


@pytest.mark.parametrize("name", CODE)
def test_half_of_what_the_code_computes_is_cut_and_the_rest_stays_exact(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = CODE[name]()
    # a model that was run before keeps what it computed then
    args, kwargs = as_call(inputs)
    model.eval()(*args, **kwargs)
    graph = trace(model, inputs)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert parameters(result.model) < 0.6 * parameters(model)
    assert predicted(graph, result.plan).macs == macs(result.model, inputs)
