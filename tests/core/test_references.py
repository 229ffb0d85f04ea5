"""Functions, hooks and weak references that hold parts of a model: those of a pruned copy hold the copy's."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import BadInput


class Layers(nn.Module):
    """a and b make 16 features, o reads them; what lies between is for `inside` to say."""

    def __init__(self, prepare: Callable[[Any], None]) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.gain = nn.Parameter(torch.rand(16))
        self.inside: Callable[[Tensor], Tensor] = lambda x: x
        prepare(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.inside(self.b(self.a(x).relu())))


def closure(model: Any) -> None:
    model.inside = lambda x: (x * model.gain).relu()


def default(model: Any) -> None:
    def scaled(x: Tensor, by: nn.Parameter = model.gain, *, layer: nn.Module = model.b) -> Tensor:
        return layer(x) * by

    model.inside = scaled


def recursive(model: Any) -> None:
    def again(x: Tensor, times: int = 2) -> Tensor:
        return again(model.b(x).relu(), times - 1) if times else x

    model.inside = again


def bound_inside(model: Any) -> None:
    forward = model.b.forward
    model.b.forward = lambda x: forward(x) * model.gain


def in_containers(model: Any) -> None:
    model.steps = [lambda x: x * model.gain, functools.partial(lambda layer, x: layer(x), model.b)]
    model.named = {"last": lambda x: model.b(x)}
    model.pair = (lambda x: x.relu(), lambda x: x + model.gain)
    model.inside = lambda x: model.pair[1](model.named["last"](model.steps[1](model.steps[0](x))))


def hook(model: Any) -> None:
    model.b.register_forward_hook(lambda module, inputs, output: output * model.gain)


def hook_that_collects(model: Any) -> None:
    found: dict[str, Tensor] = {}
    model.found = found

    def collector(name: str) -> Callable[..., None]:
        def collect(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = output

        return collect

    model.a.register_forward_hook(collector("a"))
    model.inside = lambda x: x + model.found["a"]


def kept_handle(model: Any) -> None:
    model.handle = model.b.register_forward_hook(lambda module, inputs, output: output * model.gain)


def weak_parent(model: Any) -> None:
    parent = model.parent = weakref.ref(model)
    model.inside = lambda x: x * parent().gain


def weak_function(model: Any) -> None:
    def scaled(x: Tensor) -> Tensor:
        return x * model.gain

    model.weak, model.strong = weakref.ref(scaled), scaled
    model.inside = lambda x: model.weak()(x)


@pytest.mark.parametrize(
    "prepare",
    [
        closure, default, recursive, bound_inside, in_containers, hook, hook_that_collects, kept_handle, weak_parent,
        weak_function,
    ],
)  # fmt: skip
def test_a_pruned_model_holds_nothing_of_the_original(prepare: Callable[[Any], None]) -> None:
    x = torch.randn(2, 4)
    model = Layers(prepare).eval()
    graph = trace(model, x)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert result.model.a.out_features == 8
    before = result.model(x)
    for parameter in model.parameters():
        nn.init.constant_(parameter, torch.nan)
    assert torch.equal(result.model(x), before)


def test_a_handle_in_a_pruned_model_removes_the_hook_of_the_pruned_model() -> None:
    model = Layers(kept_handle).eval()
    graph = trace(model, torch.randn(2, 4))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    pruned.handle.remove()
    assert (len(pruned.b._forward_hooks), len(model.b._forward_hooks)) == (0, 1)


def test_a_dictionary_that_has_its_entries_for_attributes_is_copied() -> None:
    class Settings(dict[str, Any]):
        __getattr__ = dict.__getitem__

    def prepare(model: Any) -> None:
        model.settings = Settings(width=16, inner=Settings(heads=2))
        model.inside = lambda x: x.view(-1, model.settings.inner.heads, 8).softmax(1).reshape(-1, model.settings.width)

    model = Layers(prepare).eval()
    graph = trace(model, torch.randn(2, 4))
    pruned = prune(model, plan(graph, score(graph), ratio=0.5)).model
    assert type(pruned.settings.inner) is Settings
    assert pruned.settings is not model.settings
    assert model.settings == {"width": 16, "inner": {"heads": 2}}


def test_what_cannot_be_copied_is_named() -> None:
    def prepare(model: Any) -> None:
        model.lock = threading.Lock()

    model = Layers(prepare).eval()
    graph = trace(model, torch.randn(2, 4))
    with pytest.raises(BadInput, match="attribute lock, of type lock, cannot be copied"):
        prune(model, plan(graph, score(graph), ratio=0.5))


def test_a_holder_that_gives_itself_for_a_copy_is_refused_and_stays_as_it_was() -> None:
    class Shared:
        def __init__(self) -> None:
            self.width = 16

        def __deepcopy__(self, memo: dict[int, Any]) -> Shared:
            return self

    def prepare(model: Any) -> None:
        model.shared = Shared()
        model.inside = lambda x: x.view(-1, model.shared.width)

    model = Layers(prepare).eval()
    graph = trace(model, torch.randn(2, 4))
    with pytest.raises(BadInput, match="the copy shares the Shared"):
        prune(model, plan(graph, score(graph), ratio=0.5))
    assert model.shared.width == 16
