"""What is taken along gives what the pruned model gives: other runtimes and a new process are the judges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from prunescope.core import Pruned, plan, prune, score, trace
from prunescope.core.errors import BadInput, BadPlan, ExportFailed
from prunescope.core.export import load_pruned, plans_text, read_plans, save_pruned, tensors_of, to_onnx, to_program
from prunescope.explorer.gallery import open_model
from prunescope.explorer.gallery.models import DigitsResNet
from tests.models import flattened, image


@pytest.fixture(scope="module")
def pruned() -> Pruned:
    opened = open_model("digits-resnet")
    graph = trace(opened.model, opened.example_inputs)
    return prune(opened.model, plan(graph, score(graph), 0.5))


def answer(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(x)
    return out


def test_onnx_gives_the_models_output_on_inputs_that_the_export_did_not_see(pruned: Pruned) -> None:
    x = pruned.graph.example_inputs
    made = to_onnx(pruned.model, x)
    assert made.difference < 1e-4
    runtime = onnxruntime.InferenceSession(made.content, providers=["CPUExecutionProvider"])
    other = torch.randn_like(x)
    (found,) = runtime.run(None, {runtime.get_inputs()[0].name: other.numpy()})
    np.testing.assert_allclose(found, answer(pruned.model, other).numpy(), atol=1e-4)


def test_a_program_loads_in_torch_alone_and_gives_the_models_output(pruned: Pruned, tmp_path: Path) -> None:
    x = pruned.graph.example_inputs
    made = to_program(pruned.model, x)
    path = tmp_path / "model.pt2"
    path.write_bytes(made.content)
    torch.testing.assert_close(torch.export.load(path).module()(x), answer(pruned.model, x))


class ByValue(nn.Module):
    """Decides by a value, which no exporter can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x)
        return out if float(out.sum()) > 0 else out.sum(0, keepdim=True).expand(3, 4)


def test_a_model_that_cannot_be_exported_is_refused_with_the_way_out() -> None:
    with pytest.raises(ExportFailed, match="load_pruned"):
        to_program(ByValue(), torch.randn(2, 4))


def test_weights_and_plan_make_the_same_model_of_a_new_one_of_the_class(pruned: Pruned, tmp_path: Path) -> None:
    save_pruned(tmp_path / "half", pruned.model, [pruned.plan])
    again = load_pruned(tmp_path / "half", DigitsResNet())
    x = torch.randn_like(pruned.graph.example_inputs)
    assert torch.equal(answer(again, x), answer(pruned.model, x))


def test_a_plan_for_another_model_and_weights_of_another_cut_are_refused(pruned: Pruned, tmp_path: Path) -> None:
    save_pruned(tmp_path / "half", pruned.model, [pruned.plan])
    with pytest.raises(BadPlan):
        load_pruned(tmp_path / "half", DigitsResNet((8, 16, 32)))
    save_pruned(tmp_path / "whole", DigitsResNet(), [pruned.plan])
    with pytest.raises(BadInput, match=r"whole\.safetensors"):
        load_pruned(tmp_path / "whole", DigitsResNet())


def test_plans_survive_their_text() -> None:
    graph = trace(flattened(), image())
    plans = [plan(graph, score(graph), share) for share in (0.25, 0.5)]
    assert list(read_plans(plans_text(plans))) == plans
    assert list(read_plans(plans[0].to_json())) == plans[:1]
    with pytest.raises(BadPlan):
        read_plans("no plan")


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_tensors_are_written_apart() -> None:
    kept = tensors_of(Tied())
    assert kept["first.weight"].data_ptr() != kept["second.weight"].data_ptr()
    assert torch.equal(kept["first.weight"], kept["second.weight"])
