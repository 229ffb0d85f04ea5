"""What a trace sees, and that it leaves the model as it was."""

from __future__ import annotations

import copy
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.flex_attention import flex_attention as attention_by
from torch.nn.attention.flex_attention import create_block_mask

from prunescope.core import plan, prune, score, trace
from prunescope.core.errors import BadInput, TraceFailed
from tests.models import flattened, image


class Residual(nn.Module):
    """Two convolutions around a shortcut, then a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 16, 3, padding=1)
        self.outer = nn.Conv2d(16, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = x + self.outer(self.inner(x).relu())
        return self.fc(self.drop(x.mean((2, 3))))


X = torch.randn(2, 3, 8, 8)


def test_coupled_layers_are_those_that_an_addition_ties() -> None:
    graph = trace(Residual(), X)
    group = graph.group_of("stem")
    assert group is not None
    assert set(group.layers) == {"stem", "norm", "inner", "outer", "fc"}
    assert group.size == 8
    assert graph.group_of("outer") == group
    inner = graph.group_of("inner")
    assert inner is not None
    assert set(inner.layers) == {"inner", "outer"}
    assert graph.group_of("outer", side="in") == inner


def test_sides_of_members_are_those_of_the_layer() -> None:
    group = trace(Residual(), X).group_of("stem")
    assert group is not None
    sides = {(m.parameter, m.dim): m.side for m in group.members}
    assert sides["stem.weight", 0] == "out"
    assert sides["inner.weight", 1] == "in"
    assert sides["fc.weight", 1] == "in"
    assert sides["norm.weight", 0] == "both"


def test_the_model_is_left_exactly_as_it_was_found() -> None:
    model = Residual().train()
    model.drop.eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    attributes = [set(vars(module)) for module in model.modules()]
    state = torch.random.get_rng_state()
    trace(model, X)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert modes == [module.training for module in model.modules()]
    assert attributes == [set(vars(module)) for module in model.modules()]
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_a_run_puts_into_containers_is_taken_out_again() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = nn.Linear(4, 16), nn.Linear(16, 3)
            self.parts: list[Any] = ["first", {"calls": 0}]
            self.shapes: set[tuple[int, ...]] = set()
            self.last: deque[Any] = deque([1, 2], maxlen=2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            self.parts[0] = x
            self.parts[1]["calls"] += 1
            self.shapes.add(tuple(x.shape))
            self.last.append(x)
            return self.out(x)

    model = Keeping().eval()
    graph = trace(model, torch.randn(2, 4))
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    for left in (model, result.model):
        assert left.parts == ["first", {"calls": 0}]
        assert left.shapes == set()
        assert left.last == deque([1, 2])
    assert result.model.parts is not model.parts


def test_what_an_earlier_run_left_in_containers_stays_there_and_is_copied_without_its_history() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = nn.Linear(4, 16), nn.Linear(16, 3)
            self.seen: dict[str, Any] = {}
            self.a.register_forward_hook(lambda layer, inputs, output: self.seen.update(all=[(output,)]))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.a(x).relu())

    model, x = Features().eval(), torch.randn(2, 4)
    model(x)
    ((before,),) = model.seen["all"]
    result = prune(model, plan(graph := trace(model, x), score(graph), ratio=0.5))
    ((after,),) = model.seen["all"]
    assert after is before
    assert not before.is_leaf
    ((copied,),) = result.model.seen["all"]
    assert copied.is_leaf
    assert torch.equal(copied, before)


def test_the_model_is_left_as_it_was_where_it_fails() -> None:
    model = Residual().train()
    with pytest.raises(TraceFailed):
        trace(model, torch.randn(2, 4, 8, 8))
    assert model.training
    assert model.norm.training


def test_input_and_output_are_locked_with_their_reason() -> None:
    graph = trace(Residual(), X)
    reasons = {(lock.parameter, lock.dim): lock.reason for lock in graph.locks}
    assert reasons["stem.weight", 1] == "it meets the model's input"
    assert reasons["fc.weight", 0] == "it is the model's output"
    group = graph.group_of("fc")
    assert group is not None
    assert group.lock is not None


def test_why_names_the_addition_and_its_line() -> None:
    chain = trace(Residual(), X).why("stem", "outer")
    assert any("add" in step and "test_trace.py" in step for step in chain)


def test_nothing_ties_layers_of_different_groups() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(self.a(x)))

    assert trace(Chain(), torch.randn(1, 4)).why("a", "c") == ()


def test_an_operation_without_a_rule_locks_what_it_touches_and_says_so() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.geqrf(self.b(self.a(x)))[0])

    graph = trace(Odd(), torch.randn(3, 4))
    assert graph.group_of("a") in graph.groups
    lock = next(lock for lock in graph.locks if lock.parameter == "b.weight" and lock.dim == 0)
    assert "no rule says how aten.geqrf" in lock.reason
    assert "test_trace.py" in lock.source


class OwnScores(nn.Module):
    """Attention whose scores go through a function of the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.packed, self.hidden, self.out = nn.Linear(8, 48), nn.Linear(16, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.packed(x).chunk(3, -1)
        )
        mask = create_block_mask(lambda n, head, i, j: j <= i, None, None, x.shape[1], x.shape[1], device="cpu")
        given = attention_by(query, key, value, lambda score, n, head, i, j: score + j - i, mask.as_tuple(), 0.3, {})
        return self.out(self.hidden(given[0].transpose(1, 2).flatten(2)).relu())


def test_an_operation_that_calls_functions_of_the_model_locks_what_it_touches_and_not_the_rest() -> None:
    graph = trace(OwnScores(), torch.randn(2, 16, 8))
    (lock,) = {lock.reason for lock in graph.locks if lock.parameter == "packed.bias"}
    assert "no rule says how flex_attention" in lock
    result = prune(graph.model, plan(graph, score(graph), ratio=0.5))
    assert result.left_out == ()
    assert result.model.hidden.out_features == 16


def test_decisions_by_value_are_traced_with_values() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)
            nn.init.constant_(self.a.bias, 100.0)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.b(x) if float(x.sum()) > 1 else self.c(x)

    graph = trace(Branch(), torch.randn(1, 4))
    assert "b" in {layer.name for layer in graph.layers}
    assert any("values" in note for note in graph.notes)
    assert any("not reached" in note and "c.weight" in note for note in graph.notes)


def test_a_module_called_twice_is_two_layers_with_one_set_of_weights() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(self.a(x)))

    graph = trace(Twice(), torch.randn(1, 4))
    assert {"a", "a#2"} <= {layer.name for layer in graph.layers}
    group = graph.group_of("a#2")
    assert group is not None
    assert group.lock is not None  # its output is its own input, which is the model's


class Overwriting(nn.Module):
    """Multiplies a parameter by what a layer computes, and overwrites the product."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc = nn.Parameter(torch.randn(2, 8)), nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        product = self.table * self.fc(x)
        return product.clamp_(min=3) + x.mul(self.fc(x)[:, :4]).clamp_(min=3).sum()


def test_no_parameter_and_no_input_changes_though_the_model_overwrites_what_it_made_of_them() -> None:
    model, x = Overwriting(), torch.randn(2, 4)
    table, given = model.table.detach().clone(), x.clone()
    trace(model, x)
    assert torch.equal(model.table, table)
    assert torch.equal(x, given)


def test_bad_input_says_what_was_asked_and_found() -> None:
    with pytest.raises(BadInput, match=r"an object of type str"):
        trace("resnet50", X)  # type: ignore[arg-type]
    with pytest.raises(TraceFailed, match=r"(?s)expected input.*to have 3 channels.*Where: module stem"):
        trace(Residual(), torch.randn(1, 1, 8, 8))
    graph = trace(Residual(), X)
    with pytest.raises(BadInput, match="one of inner"):
        graph.group_of("iner")
    with pytest.raises(BadInput, match="'in'"):
        graph.group_of("inner", side="left")  # type: ignore[arg-type]


class Nesting(nn.Module):
    """Takes some rows of each example, and no padding."""

    def __init__(self, layout: torch.layout) -> None:
        super().__init__()
        self.layout, self.fc = layout, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x if x.is_nested else torch.nested.nested_tensor([x[0, :2], x[1, :3]], layout=self.layout)
        padded: Tensor = self.fc(rows).to_padded_tensor(0.0)
        return padded


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused_with_the_line_that_makes_them() -> None:
    x = torch.randn(2, 5, 4)
    for layout in (torch.jagged, torch.strided):
        with pytest.raises(BadInput, match=r"(?s)a nested tensor.*Where: test_trace.py:\d+ in forward"):
            trace(Nesting(layout), x)
    with pytest.raises(BadInput, match=r"(?s)a nested tensor.*Where: the example inputs"):
        trace(Nesting(torch.jagged), torch.nested.nested_tensor([*x], layout=torch.jagged))


def test_the_table_has_a_row_for_each_layer_with_its_reason() -> None:
    table = trace(Residual(), X).table()
    assert table.loc["fc", "why_not"] == "it is the model's output"
    assert bool(table.loc["inner", "prunable"])
    assert table.loc["inner", "macs"] == 2 * 8 * 8 * 8 * 16 * 9


def test_a_layer_owns_its_weights_however_it_reads_them() -> None:
    """A linear layer multiplies by its weight transposed."""
    graph = trace(Residual(), X)
    assert set(graph.layer("fc").parameters) == {"fc.weight", "fc.bias"}
    assert graph.table().loc["fc", "parameters"] == 8 * 10 + 10


def test_what_another_thread_runs_meanwhile_is_no_part_of_the_graph() -> None:
    model, x = flattened(), image()
    quiet = trace(model, x)
    other, stop = flattened(), threading.Event()

    def run() -> None:
        with torch.no_grad():
            while not stop.is_set():
                other(x)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        graphs = [trace(model, x) for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    for graph in graphs:
        assert [layer.name for layer in graph.layers] == [layer.name for layer in quiet.layers]
        assert str(graph) == str(quiet)


def test_traces_of_several_threads_leave_torch_as_it_was() -> None:
    functional, scripted = torch.nn.functional, torch.jit.ScriptFunction
    before = functional.has_torch_function, scripted.__call__
    inputs = torch.randn(2, 4)
    models = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda n: len(trace(models[n % 4], inputs).groups), range(24))]
    assert found == [1] * 24
    assert (functional.has_torch_function, scripted.__call__) == before
