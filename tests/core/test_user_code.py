"""Ways in which people write models: what can be cut is cut, and the result is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import rnn

from prunescope.core import plan, prune, score, trace
from prunescope.core.measure import parameters

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


CODE: dict[str, Build] = {
    **{
        f"graph by {name}, {'given' if given else 'kept'}": graph_network(product, given)
        for name, product in (("sparse.mm", torch.sparse.mm), ("spmm", torch.spmm), ("@", lambda a, b: a @ b))
        for given in (False, True)
    },
    "packed LSTM": packed(nn.LSTM, last=True),
    "packed GRU of two layers": packed(nn.GRU, last=True, num_layers=2),
    "packed LSTM, unpacked": packed(nn.LSTM, last=False),
    "packed LSTM both ways, unpacked": packed(nn.LSTM, last=False, bidirectional=True),
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
    graph = trace(model.eval(), inputs)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.verification is not None
    assert result.verification.difference is not None
    assert parameters(result.model) < 0.6 * parameters(model)
