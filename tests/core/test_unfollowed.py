"""Attributes that the traced run takes no size from, though other methods do: named, and left as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import Pruned, plan, prune, score, trace


class Autoencoder(nn.Module):
    image_size = 12  # of the hidden width by chance; no method asks for it

    def __init__(self) -> None:
        super().__init__()
        self.latent, self.pixels = 8, 20
        self.encoder = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 8))
        self.decoder = nn.Linear(8, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def sample(self, count: int) -> Tensor:
        return self.decoder(torch.randn(count, self.latent)).view(count, self.pixels)


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.width = 24
        self.words, self.layer, self.head = nn.Embedding(30, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 30)

    def forward(self, words: Tensor, state: Tensor | None = None) -> Tensor:
        return self.head(self.layer(self.words(words), state)[0])

    def begun(self, count: int) -> Tensor:
        return torch.zeros(1, count, self.width)


class Following(Language):
    """The same, and the run does take the size."""

    def forward(self, words: Tensor, state: Tensor | None = None) -> Tensor:
        return super().forward(words, self.begun(len(words)))


def pruned(model: nn.Module, x: Tensor) -> Pruned:
    graph = trace(model.eval(), x)
    return prune(model, plan(graph, score(graph), ratio=0.5))


@pytest.mark.parametrize(
    ("build", "x", "attribute", "value", "reader", "now"),
    [
        (Autoencoder, torch.randn(2, 20), "latent", 8, "sample()", 4),
        (Language, torch.zeros(2, 5, dtype=torch.int64), "width", 24, "begun()", 12),
    ],
)
def test_what_other_methods_may_take_a_size_from_is_named_and_stays(
    build: Any, x: Tensor, attribute: str, value: int, reader: str, now: int
) -> None:
    result = pruned(build(), x)
    (found,) = result.unfollowed
    assert (found.module, found.attribute, found.value, found.readers, found.now) == (
        "", attribute, value, (reader,), (now,),
    )  # fmt: skip
    assert getattr(result.model, attribute) == value
    assert f"{attribute} stays {value}" in str(result)


class Compared(nn.Module):
    """The root of the width cannot go into the table, which is read as it is too: so the layer's size stays."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(40, 32), nn.Linear(32, 32)

    def forward(self, words: Tensor) -> Tensor:
        x = self.layer((self.words(words) * self.words.embedding_dim**0.5).tanh())
        return (x * self.words(words + 1)).sum(-1)


def test_a_layers_size_that_stays_for_a_factor_is_named() -> None:
    result = pruned(Compared(), torch.zeros(2, 5, dtype=torch.int64))
    (found,) = result.unfollowed
    assert (found.module, found.attribute, found.value, found.now) == ("words", "embedding_dim", 32, (16,))


def test_what_the_run_took_a_size_from_follows_and_is_not_named() -> None:
    result = pruned(Following(), torch.zeros(2, 5, dtype=torch.int64))
    assert result.unfollowed == ()
    assert result.model.width == 12
