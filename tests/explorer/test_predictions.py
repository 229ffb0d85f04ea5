"""What two models say of labelled examples, against counting by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunescope.core.errors import BadInput
from prunescope.explorer.gallery import open_model
from prunescope.explorer.gallery.data import load
from prunescope.explorer.predictions import Examples, by_class, changes, examples_of, pictures, predicted_classes


def test_the_share_of_right_predictions_is_the_models_accuracy() -> None:
    opened = open_model("digits-resnet")
    examples = examples_of(opened.examples)
    assert examples is not None
    assert opened.evaluate is not None
    found = predicted_classes(opened.model, examples)
    assert float((found == examples.labels).float().mean()) == pytest.approx(opened.evaluate(opened.model))


def test_batches_change_nothing() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(600, 4)
    assert torch.equal(predicted_classes(model, Examples(x, torch.zeros(600).long())), model(x).argmax(1))


def test_classes_are_counted_and_changes_are_found() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    before, after = torch.tensor([0, 1, 1, 1, 0]), torch.tensor([0, 0, 1, 0, 0])
    examples = Examples(torch.zeros(5, 2), labels, ("cat", "dog"))
    rows = by_class(examples, before, after)
    assert [(row.name, row.count, row.before, row.after) for row in rows] == [
        ("cat", 2, 0.5, 1.0),
        ("dog", 3, pytest.approx(2 / 3), pytest.approx(1 / 3)),
    ]
    found = [(change.index, change.before, change.after, change.right) for change in changes(examples, before, after)]
    assert found == [(3, "dog", "cat", False), (1, "dog", "cat", True)]


class Words(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "no tensor"


@pytest.mark.parametrize("model", [Words(), nn.Linear(3, 2), nn.Flatten(0)], ids=["no tensor", "shape", "no classes"])
def test_a_model_that_gives_no_classes_is_refused_in_four_parts(model: nn.Module) -> None:
    with pytest.raises(BadInput) as caught:
        predicted_classes(model, Examples(torch.randn(5, 4), torch.zeros(5).long()))
    assert all(part in str(caught.value) for part in ("Asked:", "Where:", "What to do:"))


@pytest.mark.parametrize("given", [3, (torch.zeros(4, 2),), (torch.zeros(4, 2), torch.zeros(3)), "ab"])
def test_examples_of_another_form_are_refused(given: object) -> None:
    with pytest.raises(BadInput):
        examples_of(given)


def test_only_images_are_shown_as_pictures() -> None:
    digits = load("test")
    found = pictures(Examples(digits.images, digits.labels), [0, 3])
    assert found is not None
    assert found.shape == (2, 8, 8)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert pictures(Examples(torch.zeros(4, 9), torch.zeros(4)), [0]) is None
    coloured = pictures(Examples(torch.randn(4, 3, 5, 6), torch.zeros(4)), [1])
    assert coloured is not None
    assert coloured.shape == (1, 5, 6, 3)
