"""The gallery: its data, its weights, its record, and torchvision's models by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from prunescope.core.errors import BadInput, UnknownModel
from prunescope.core.measure import parameters
from prunescope.explorer.gallery import GALLERY, open_model, record
from prunescope.explorer.gallery.data import SPLITS, Split, load
from prunescope.explorer.gallery.fit import shifted
from prunescope.explorer.gallery.train import split_of

NAMES = list(GALLERY)
README = Path(__file__).parents[2] / "README.md"


def test_every_image_is_in_exactly_one_split() -> None:
    indices = torch.cat([load(split).indices for split in SPLITS])
    assert sorted(indices.tolist()) == list(range(1797))


@pytest.mark.parametrize("split", SPLITS)
def test_every_digit_has_its_share_of_each_split(split: Split) -> None:
    digits = load(split)
    everywhere = np.bincount(load_digits().target) / 1797
    here = np.bincount(digits.labels.numpy()) / len(digits.labels)
    assert np.abs(here - everywhere).max() < 1 / len(digits.labels)


@pytest.mark.parametrize("split", SPLITS)
def test_the_copy_in_the_package_is_what_scikit_learn_ships(split: Split) -> None:
    source, digits = load_digits(), load(split)
    pixels = torch.from_numpy(source.images[digits.indices.numpy()]).float()
    assert torch.equal((digits.images[:, 0] + 1) * 8, pixels)
    assert digits.labels.tolist() == source.target[digits.indices.numpy()].tolist()


def test_the_split_in_the_package_is_the_one_that_its_seed_gives() -> None:
    split = split_of(load_digits().target)
    for number, name in enumerate(SPLITS):
        assert load(name).indices.tolist() == np.flatnonzero(split == number).tolist()


def test_the_record_states_the_split_sizes() -> None:
    assert record()["data"]["split_sizes"] == {split: len(load(split).labels) for split in SPLITS}


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_accuracy_is_what_the_weights_reach(name: str) -> None:
    entry = GALLERY[name]
    model = entry.build()
    # Another processor may round the one image that stands on the edge to the other side.
    one_image = 1 / len(load("test").labels)
    assert entry.evaluate(model) == pytest.approx(record()["models"][name]["accuracy"]["test"], abs=one_image)
    assert record()["models"][name]["parameters"] == parameters(model)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_states_the_recorded_accuracy(name: str) -> None:
    test = record()["models"][name]["accuracy"]["test"]
    (row,) = [line for line in README.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| {100 * test:.1f} % |" in row


@pytest.mark.parametrize("name", NAMES)
def test_a_gallery_model_opens_in_eval_mode_and_takes_its_example_inputs(name: str) -> None:
    opened = open_model(name)
    assert not any(module.training for module in opened.model.modules())
    assert opened.model(opened.example_inputs).shape == (1, 10)
    assert opened.evaluate is not None
    assert opened.train is not None
    assert opened.note == ""


def test_opening_twice_gives_two_models_with_equal_weights() -> None:
    first, second = open_model("digits-vit").model, open_model("digits-vit").model
    first_state, second_state = first.state_dict(), second.state_dict()
    assert all(torch.equal(first_state[key], second_state[key]) for key in first_state)
    with torch.no_grad():
        first.norm.weight.zero_()
    assert second.norm.weight.any()


def test_a_state_dict_takes_the_place_of_the_weights() -> None:
    zeros = {key: torch.zeros_like(value) for key, value in open_model("digits-resnet").model.state_dict().items()}
    opened = open_model("digits-resnet", zeros)
    assert opened.evaluate is not None
    assert opened.evaluate(opened.model) < 0.2


def test_a_state_dict_of_another_model_is_refused() -> None:
    with pytest.raises(BadInput, match="digits-vit"):
        open_model("digits-vit", open_model("digits-resnet").model.state_dict())


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_mode_and_the_weights_as_found(training: bool) -> None:
    entry = GALLERY["digits-resnet"]
    model = entry.build().train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    entry.evaluate(model)
    assert model.training == training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_fine_tuning_repairs_a_damaged_model_and_reports_each_epoch() -> None:
    entry = GALLERY["digits-resnet"]
    model = entry.build()
    with torch.no_grad():
        model.layer2[1].conv1.weight[::2] = 0
        model.layer3[2].bn2.weight.mul_(-1)
    damaged = entry.evaluate(model)
    reports: list[tuple[int, int, float, float]] = []
    entry.train(model, lambda *report: reports.append(report))
    assert [(epoch, of) for epoch, of, _, _ in reports] == [(n + 1, 5) for n in range(5)]
    assert all(loss > 0 and 0 <= share <= 1 for _, _, loss, share in reports)
    assert entry.evaluate(model) > max(damaged, 0.95)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_fine_tuning_gives_the_same_weights_twice_and_leaves_the_random_state_alone() -> None:
    entry = GALLERY["digits-resnet"]
    first, second = entry.build(), entry.build()
    state = torch.get_rng_state()
    entry.train(first, lambda *_: None)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    entry.train(second, lambda *_: None)
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))


def test_an_exception_from_report_ends_the_training_and_gives_the_mode_back() -> None:
    def stop(epoch: int, of: int, loss: float, accuracy: float) -> None:
        raise InterruptedError

    model = GALLERY["digits-resnet"].build()
    with pytest.raises(InterruptedError):
        GALLERY["digits-resnet"].train(model, stop)
    assert not model.training


def test_a_shift_moves_an_image_by_at_most_one_pixel_and_keeps_its_middle() -> None:
    images = torch.full((200, 1, 8, 8), -1.0)
    images[:, :, 3, 4] = 1
    spots = (shifted(images, torch.Generator().manual_seed(0)) == 1).nonzero()[:, 2:].tolist()
    assert {tuple(spot) for spot in spots} == {(row, column) for row in (2, 3, 4) for column in (3, 4, 5)}
    assert len(spots) == 200


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 224), ("inception_v3", 299), ("googlenet", 224)])
def test_a_torchvision_model_opens_by_name_with_inputs_of_its_own_size(name: str, size: int) -> None:
    opened = open_model(name)
    assert opened.example_inputs.shape == (1, 3, size, size)
    with torch.no_grad():
        assert opened.model(opened.example_inputs).shape == (1, 1000)
    assert opened.note == "random weights: accuracy is not shown"
    assert opened.evaluate is None
    assert opened.train is None


def test_random_weights_are_the_same_each_time_and_leave_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    first = open_model("mobilenet_v2")
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    second = open_model("mobilenet_v2")
    assert torch.equal(first.model.features[0][0].weight, second.model.features[0][0].weight)
    assert torch.equal(first.example_inputs, second.example_inputs)


def test_a_torchvision_model_with_a_state_dict_has_those_weights_and_no_note() -> None:
    weights = open_model("mobilenet_v2").model.state_dict()
    weights["classifier.1.bias"] = torch.arange(1000.0)
    opened = open_model("mobilenet_v2", weights)
    assert torch.equal(opened.model.classifier[1].bias, torch.arange(1000.0))
    assert opened.note == ""


def test_an_unknown_name_is_answered_with_near_names_and_the_whole_gallery() -> None:
    with pytest.raises(UnknownModel) as failure:
        open_model("resnet51")
    assert "'resnet51'" in failure.value.asked
    assert all(name in failure.value.found for name in GALLERY)
    assert "resnet50" in failure.value.what_to_do


def test_a_name_near_one_of_the_gallery_finds_it() -> None:
    with pytest.raises(UnknownModel, match="did you mean digits-resnet"):
        open_model("digit-resnet")


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18"])
def test_models_that_do_not_classify_images_are_not_offered(name: str) -> None:
    with pytest.raises(UnknownModel):
        open_model(name)


@pytest.mark.parametrize("failure", [ImportError("No module named 'torchvision'"), RuntimeError("no nms")])
def test_without_torchvision_the_message_says_how_to_get_it(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, package: str | None = None) -> Any:
        raise failure

    monkeypatch.setattr("prunescope.explorer.gallery.import_module", refuse)
    with pytest.raises(UnknownModel, match=str(failure)) as raised:
        open_model("resnet50")
    assert "prunescope[torchvision]" in raised.value.what_to_do
    assert all(name in raised.value.found for name in GALLERY)
