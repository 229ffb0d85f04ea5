"""Models to start with: two trained on handwritten digits, and torchvision's classifiers by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from prunescope.core.errors import BadInput, UnknownModel
from prunescope.core.evidence import Loss
from prunescope.explorer.gallery.data import load
from prunescope.explorer.gallery.fit import BATCH_SIZE, Report, accuracy, digit_loss, fit
from prunescope.explorer.gallery.models import DigitsResNet, DigitsViT

__all__ = ["GALLERY", "Entry", "OpenedModel", "Report", "open_model", "record"]

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True)
class Entry:
    """A model that comes with the package.

    Attributes:
        name: What it is opened by; also the name of its weights file.
        title: Its name on the screen.
        description: One sentence on what it is.
        architecture: Makes the untrained module.
        epochs: Of the training that made the weights.
        learning_rate: Peak learning rate of that training.
        tuning_epochs: Of one fine-tuning by `train`.
    """

    name: str
    title: str
    description: str
    architecture: Callable[[], nn.Module]
    epochs: int
    learning_rate: float
    tuning_epochs: int

    def build(self) -> nn.Module:
        """A new module with the trained weights, in eval mode."""
        model = self.architecture()
        weights = files("prunescope.explorer.gallery").joinpath(f"{self.name}.safetensors").read_bytes()
        model.load_state_dict(load_safetensors(weights))
        return model.eval()

    def example_inputs(self) -> Tensor:
        """The first image of the test split, `(1, 1, 8, 8)` float32."""
        return load("test").images[:1]

    def evaluate(self, model: nn.Module) -> float:
        """Accuracy on the test split, 0 to 1; the model's training mode is left as it was."""
        return accuracy(model, "test")

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """The train split as batches of images and labels, in the order of the file."""
        digits = load("train")
        return list(zip(digits.images.split(BATCH_SIZE), digits.labels.split(BATCH_SIZE), strict=True))

    def train(self, model: nn.Module, report: Report) -> None:
        """Fine-tune the model in place on the train split, with a tenth of the original learning rate.

        Args:
            model: Changed in place; its training mode is left as it was.
            report: `report(epoch, of, loss, accuracy)` after each epoch, accuracy on the validation split.
        """
        fit(model, report, epochs=self.tuning_epochs, learning_rate=self.learning_rate / 10, seed=0)


@dataclass(frozen=True)
class OpenedModel:
    """A model ready to be explored.

    Attributes:
        name: What it was opened by.
        title: Its name on the screen.
        model: In eval mode.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments;
            from `open_model` one tensor of batch size 1.
        evaluate: `evaluate(model)`, higher is better; None if there is no data for it.
        train: `train(model, report)`, fine-tunes in place; None if there is no data for it.
        note: What the person should know about it, a sentence or empty.
        batches: Training data, as `loss` takes it; None if there is none.
        loss: `loss(model, batch)`; None if there is no data for it.
        examples: (inputs, labels) to compare predictions on; None if there are none.
    """

    name: str
    title: str
    model: nn.Module
    example_inputs: Any
    evaluate: Callable[[nn.Module], float] | None
    train: Callable[[nn.Module, Report], None] | None
    note: str
    batches: Sequence[Any] | None = None
    loss: Loss | None = None
    examples: Any = None


GALLERY: Mapping[str, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name="digits-resnet",
                title="ResNet-20 on handwritten digits",
                description="A residual network with 16, 32 and 64 channels, for 8x8 images of digits.",
                architecture=DigitsResNet,
                epochs=20,
                learning_rate=3e-3,
                tuning_epochs=5,
            ),
            Entry(
                name="digits-vit",
                title="Vision Transformer on handwritten digits",
                description="Six transformer blocks of width 64 with 4 heads, for 8x8 images of digits.",
                architecture=DigitsViT,
                epochs=60,
                learning_rate=1e-3,
                tuning_epochs=5,
            ),
        )
    }
)


def record() -> dict[str, Any]:
    """What `train.py` wrote down when it made the weights: data, split, seeds, accuracies, versions."""
    content: dict[str, Any] = json.loads(files("prunescope.explorer.gallery").joinpath("gallery.json").read_text())
    return content


def open_model(name: str, state_dict: StateDict | None = None) -> OpenedModel:
    """Open a model of the gallery, or a classification model of torchvision, by its name.

    Args:
        name: A key of `GALLERY`, or a name of `torchvision.models.list_models()`.
        state_dict: Weights to load, in place of the gallery's or of random ones.

    Returns:
        A new model in eval mode, with what is needed to run it. Nothing is downloaded: a model of torchvision
        has random weights, the same each time, unless a state dict is given.

    Raises:
        UnknownModel: Neither has the name, or torchvision is not installed.
        BadInput: The state dict does not fit the model.
    """
    if name in GALLERY:
        return _open_gallery(GALLERY[name], state_dict)
    return _open_torchvision(name, state_dict)


def _open_gallery(entry: Entry, state_dict: StateDict | None) -> OpenedModel:
    model = entry.build()
    if state_dict is not None:
        _load_weights(model, state_dict, entry.name)
    return OpenedModel(
        name=entry.name,
        title=entry.title,
        model=model,
        example_inputs=entry.example_inputs(),
        evaluate=entry.evaluate,
        train=entry.train,
        note="",
        batches=entry.batches(),
        loss=digit_loss,
        examples=(load("test").images, load("test").labels),
    )


def _open_torchvision(name: str, state_dict: StateDict | None) -> OpenedModel:
    models = _torchvision_models(name)
    names = models.list_models(module=models)
    if name not in names:
        raise _unknown(name, [*GALLERY, *names])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.get_model(name, weights=None, **_BUILD_OPTIONS.get(name, {})).eval()
        example_inputs = torch.randn(1, 3, *_image_size(models, name, model))
    if state_dict is not None:
        _load_weights(model, state_dict, name)
    return OpenedModel(
        name=name,
        title=f"torchvision {name}",
        model=model,
        example_inputs=example_inputs,
        evaluate=None,
        train=None,
        note="random weights: accuracy is not shown" if state_dict is None else "",
    )


# Their default initialisation draws from scipy's truncated normal and warns that it is slow.
_BUILD_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}
)


def _torchvision_models(name: str) -> ModuleType:
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another version of torch
        raise UnknownModel(
            asked=f"open the model {name!r}",
            found=f"the gallery has {_listed(GALLERY)}, and torchvision cannot be imported: {error}",
            where="model name",
            what_to_do="open one of the gallery, or run: pip install 'prunescope[torchvision]'",
        ) from error


def _image_size(models: ModuleType, name: str, model: nn.Module) -> tuple[int, int]:
    if isinstance(fixed := getattr(model, "image_size", None), int):
        return fixed, fixed
    crop = models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    return crop, crop


def _load_weights(model: nn.Module, state_dict: StateDict, name: str) -> None:
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise BadInput(
            asked=f"load a state dict into {name}",
            found=str(error),
            where="argument state_dict",
            what_to_do=f"give a state dict that was saved from {name} itself, unpruned",
        ) from error


def _unknown(name: str, names: list[str]) -> UnknownModel:
    near = get_close_matches(name, names, n=5, cutoff=0.5)
    advice = f"did you mean {_listed(near)}? " if near else ""
    return UnknownModel(
        asked=f"open the model {name!r}",
        found=f"neither the gallery ({_listed(GALLERY)}) nor torchvision has a classifier of that name",
        where="model name",
        what_to_do=f"{advice}prunescope pkg.module:build opens a model of your own",
    )


def _listed(names: Mapping[str, Any] | list[str]) -> str:
    return ", ".join(names)
