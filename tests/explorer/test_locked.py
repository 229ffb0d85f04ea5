"""What cannot be cut: the padlocks of the layers and the table of reasons say what the core says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunescope.core import DependencyGraph, trace
from prunescope.core.graph import Lock
from prunescope.explorer.locked import SINGLE, UNREAD, Padlock, padlocks, what_is_locked
from prunescope.explorer.panels import locked as panel
from tests.explorer import traced
from tests.models import image


class HalfShown(nn.Module):
    """The channels of `shown` are an output; those of `hidden` are not. `cat` and `last` hold both."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.hidden, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(10, 5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shown = self.shown(x)
        return shown, self.last(torch.cat([shown, self.hidden(x)], 1))


class Scaled(nn.Module):
    """A scalar, a layer that nothing calls, and a hidden layer of one unit."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.idle = nn.Linear(3, 7)
        self.one, self.last = nn.Linear(3, 1), nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.one(x) * self.scale)
        return out


GRAPHS: Mapping[str, Callable[[], DependencyGraph]] = {
    **traced.GRAPHS,
    "half-shown": lambda: trace(HalfShown().eval(), image()),
    "scaled": lambda: trace(Scaled().eval(), torch.randn(2, 3)),
}


@pytest.fixture(scope="module", params=list(GRAPHS))
def graph(request: pytest.FixtureRequest) -> DependencyGraph:
    return GRAPHS[request.param]()


def origin(lock: Lock) -> tuple[str, str, str]:
    return lock.reason, lock.layer, lock.source


def test_the_output_of_a_layer_has_a_padlock_where_the_core_cannot_cut_its_group(graph: DependencyGraph) -> None:
    locks = {layer.name: group.lock for layer in graph.layers if (group := graph.group_of(layer.name))}
    found = {name: [lock for lock in own if lock.place == "out"] for name, own in padlocks(graph).items()}
    whole = {name: own[0].reason for name, own in found.items() if own and own[0].is_whole}
    assert whole == {name: lock.reason for name, lock in locks.items() if lock}
    assert whole


def test_every_lock_of_the_core_is_on_every_layer_that_reads_the_parameter(graph: DependencyGraph) -> None:
    found = padlocks(graph)
    for lock in graph.locks:
        for layer in graph.layers:
            if lock.parameter in layer.parameters:
                assert origin(lock) in {each.origin for each in found[layer.name]}


def test_a_padlock_says_reason_layer_and_line_of_a_lock_of_the_core(graph: DependencyGraph) -> None:
    known = {origin(lock) for lock in graph.locks}
    known |= {origin(group.lock) for group in graph.locked_groups if group.lock}
    assert {lock.origin for own in padlocks(graph).values() for lock in own} <= known


def test_a_side_that_is_locked_in_part_says_how_much_of_it() -> None:
    found = padlocks(GRAPHS["half-shown"]())
    assert [lock.text for lock in found["shown"]] == ["output side f⁺ cannot be cut", "input side f⁻ cannot be cut"]
    assert [lock.text for lock in found["cat"]] == ["4 of 10 of output side f⁺ cannot be cut"]
    assert "4 of 10 of input side f⁻ cannot be cut" in [lock.text for lock in found["last"]]
    assert [lock.place for lock in found["hidden"]] == ["in"]


def test_a_weight_on_neither_side_is_named() -> None:
    (lock,) = padlocks(GRAPHS["digits-vit"]())["add"]
    assert (lock.place, lock.text) == ("weight", "weight pos_embed, dimension 1 cannot be cut")
    assert lock.where.startswith("add, models.py:")


def test_where_is_empty_without_a_layer_and_a_line() -> None:
    assert Padlock("out", 1, 1, "a reason", "", "").where == ""
    assert Padlock("out", 1, 1, "a reason", "", "net.py:3").where == "net.py:3"


def removable(graph: DependencyGraph) -> dict[str, Tensor]:
    """For each parameter that the run read, True where some unit that can be cut holds the number."""
    found = {
        p.name: torch.zeros(p.tensor.shape, dtype=torch.bool)
        for p in graph.record.parameters.values()
        if not p.is_buffer
    }
    for group in graph.groups:
        for member in group.members:
            if member.parameter in found:
                index = torch.as_tensor(member.of_units(np.arange(group.size)))
                found[member.parameter].index_fill_(member.dim, index, True)
    return found


def test_what_stays_is_what_no_unit_of_any_group_holds(graph: DependencyGraph) -> None:
    locked = what_is_locked(graph)
    goes = sum(int(mask.sum()) for mask in removable(graph).values())
    assert locked.parameters == sum(p.numel() for p in graph.model.parameters())
    assert locked.stays == locked.parameters - goes


def test_a_reason_holds_the_parameters_on_whose_dimensions_the_core_puts_it(graph: DependencyGraph) -> None:
    goes = removable(graph)
    rows = {row.reason: row for row in what_is_locked(graph).rows}
    for reason in {lock.reason for lock in graph.locks}:
        locks = [lock for lock in graph.locks if lock.reason == reason and lock.parameter in goes]
        names = {lock.parameter for lock in locks}
        if any(lock.units < lock.size for lock in locks):
            continue
        assert rows[reason].stays + rows[reason].partly == sum(goes[name].numel() for name in names)
        assert rows[reason].stays == sum(int((~goes[name]).sum()) for name in names)


def test_the_layers_of_a_reason_are_those_with_a_padlock_for_it(graph: DependencyGraph) -> None:
    found = padlocks(graph)
    for row in what_is_locked(graph).rows:
        assert list(row.layers) == [name for name, own in found.items() if row.reason in {lock.reason for lock in own}]


def test_of_a_parameter_locked_in_part_the_open_part_can_go() -> None:
    """last.weight is 5 x 10: its 5 outputs are the model's, of its 10 inputs 4 are the model's output too."""
    graph = GRAPHS["half-shown"]()
    (output,) = [row for row in what_is_locked(graph).rows if row.reason == "it is the model's output"]
    last, shown = 5 * 4 + 5, 4 * 3 + 4
    assert (output.stays, output.partly) == (last + shown, 5 * 6)


def test_a_scalar_an_unread_layer_and_a_single_index_have_their_own_reasons() -> None:
    graph = GRAPHS["scaled"]()
    rows = {row.reason: row for row in what_is_locked(graph).rows}
    assert (rows[UNREAD].stays, rows[SINGLE].stays) == (prod((3, 7)) + 7, 1)
    assert rows["it has a single index"].stays == 1


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 7, "0 %"),
        (3, 1000, "0.3 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "> 99.9 %"),
        (2, 5, "40 %"),
        (5, 5, "100 %"),
    ],
)
def test_a_share_never_hides_what_is_there(part: int, whole: int, text: str) -> None:
    assert panel.share(part, whole) == text


def test_the_sentence_says_how_much_stays(graph: DependencyGraph) -> None:
    locked = what_is_locked(graph)
    assert panel.share(locked.stays, locked.parameters) in panel.sentence(locked)
