"""Measurements against counts done by hand, and against what torch itself reports."""

from __future__ import annotations

import math
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from prunescope.core.errors import MeasurementFailed
from prunescope.core.measure import accuracy, compare, macs, measure, parameters, size_bytes
from prunescope.explorer.gallery import open_model


class Tied(nn.Module):
    """An embedding whose weight is also the output layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embedding(tokens))
        return logits


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no forward today")


def test_parameters_are_weights_and_biases_and_not_buffers() -> None:
    assert parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))) == 8 * 3 * 9 + 8 + 2 * 8


def test_tied_parameters_count_once() -> None:
    assert parameters(Tied()) == 40
    assert size_bytes(Tied()) == 160


def test_bytes_follow_the_dtype_and_include_buffers() -> None:
    norm = nn.BatchNorm1d(5)
    assert size_bytes(norm) == 4 * (4 * 5) + 8  # weight, bias, mean, variance; the count of batches is int64
    assert size_bytes(nn.Linear(3, 2).to(torch.float16)) == 2 * (6 + 2)


def attention_macs(batch: int, tokens: int, dim: int) -> int:
    """Four projections, and two products of (tokens x dim) with (dim x tokens) summed over the heads."""
    return batch * (4 * tokens * dim * dim + 2 * tokens * tokens * dim)


def recurrent_macs(batch: int, tokens: int, inputs: int, hidden: int, gates: int) -> int:
    return batch * tokens * gates * hidden * (inputs + hidden)


ENCODER = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, batch_first=True)


@pytest.mark.parametrize(
    ("model", "shape", "by_hand"),
    [
        pytest.param(nn.Linear(6, 5), (3, 6), 3 * 30, id="linear"),
        pytest.param(nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7), 2 * 6 * 35 * 4 * 9, id="convolution"),
        pytest.param(nn.Conv2d(4, 4, 3, groups=4), (1, 4, 5, 5), 4 * 9 * 9, id="depthwise convolution"),
        pytest.param(nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 5), 25 * 4 * 6 * 4, id="transposed convolution"),
        pytest.param(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(6)), (3, 6), 0, id="element-wise and normalisation"),
        pytest.param(ENCODER, (2, 7, 16), attention_macs(2, 7, 16) + 2 * 7 * 2 * 16 * 32, id="fused encoder"),
        pytest.param(nn.LSTM(6, 5, batch_first=True), (2, 7, 6), recurrent_macs(2, 7, 6, 5, 4), id="lstm"),
        pytest.param(nn.GRU(6, 5, batch_first=True), (2, 7, 6), recurrent_macs(2, 7, 6, 5, 3), id="gru"),
    ],
)
def test_macs_equal_the_count_by_hand(model: nn.Module, shape: tuple[int, ...], by_hand: int) -> None:
    assert macs(model, torch.randn(shape)) == by_hand


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "swin_t"])
def test_macs_of_a_torchvision_model_are_those_that_torchvision_publishes(name: str) -> None:
    published = get_model_weights(name).DEFAULT.meta["_ops"]  # 1e9 MACs, to three decimals
    opened = open_model(name)
    assert macs(opened.model, opened.example_inputs) / 1e9 == pytest.approx(published, abs=0.001)


def test_macs_of_a_recurrent_layer_leave_onednn_as_found() -> None:
    before = torch._C._get_mkldnn_enabled()
    macs(nn.LSTM(3, 2), torch.randn(1, 3))
    assert torch._C._get_mkldnn_enabled() == before


def test_macs_of_a_module_that_is_handed_a_view_of_a_parameter() -> None:
    class Queried(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.layer = nn.Parameter(torch.randn(6)), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.query.unsqueeze(0).expand(x.shape[0], -1))

    model = Queried()
    assert macs(model, torch.randn(3, 2)) == 3 * 30
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_macs_leave_modes_statistics_gradients_and_fast_paths_as_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    macs(model, torch.randn(2, 3, 8, 8))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == fast_path


def test_a_model_that_raises_is_named_with_its_cause_and_gets_its_mode_back() -> None:
    model = Broken()
    with pytest.raises(MeasurementFailed, match="ValueError: no forward today") as failure:
        macs(model, torch.zeros(1))
    assert isinstance(failure.value.__cause__, ValueError)
    assert "Broken.forward" in failure.value.where
    assert model.training


@pytest.mark.parametrize("value", [1, 0.25, np.float32(0.25), np.array(0.25), torch.tensor(0.25)])
def test_any_kind_of_single_number_is_an_accuracy(value: float) -> None:
    assert accuracy(nn.Identity(), lambda _: value) == float(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (torch.tensor(math.nan), "nan"),
        (None, "None of type NoneType"),
        ("0.9", "'0.9' of type str"),
        (True, "True of type bool"),
        (torch.zeros(2), "of type Tensor"),
        ((0.9, 0.1), "of type tuple"),
    ],
)
def test_an_evaluate_that_returns_no_finite_number_is_refused_with_what_it_returned(value: float, shown: str) -> None:
    with pytest.raises(MeasurementFailed) as failure:
        accuracy(nn.Identity(), lambda _: value, name="pruned")
    assert shown in failure.value.found
    assert "pruned" in failure.value.asked
    assert "<lambda>" in failure.value.where
    assert "finite number" in failure.value.what_to_do


def test_an_evaluate_that_raises_is_reported_with_its_cause() -> None:
    def evaluate(model: nn.Module) -> float:
        raise KeyError("labels")

    with pytest.raises(MeasurementFailed, match="KeyError: 'labels'") as failure:
        compare(nn.Linear(2, 2), nn.Linear(2, 2), torch.zeros(1, 2), evaluate, rounds=1)
    assert isinstance(failure.value.__cause__, KeyError)


def test_evaluate_gets_the_model_in_eval_mode_and_cannot_leave_it_in_another() -> None:
    model = nn.Sequential(nn.Dropout())

    def evaluate(given: nn.Module) -> float:
        assert not given.training
        given.train()
        return 1.0

    model.eval()
    accuracy(model, evaluate)
    assert not model[0].training


def test_compare_has_a_row_for_each_model_and_the_promised_columns() -> None:
    original, pruned = nn.Linear(8, 6), nn.Linear(8, 3)
    table = compare(original, pruned, torch.zeros(1, 8), lambda model: parameters(model) / 100)
    assert list(table.index) == ["original", "pruned"]
    assert list(table.columns) == ["parameters", "macs", "bytes", "latency_ms", "latency_iqr_ms", "accuracy"]
    assert table["parameters"].tolist() == [54, 27]
    assert table["macs"].tolist() == [48, 24]
    assert table["bytes"].tolist() == [216, 108]
    assert table["accuracy"].tolist() == [0.54, 0.27]
    assert (table["latency_ms"] > 0).all()
    assert table.attrs == {"threads": torch.get_num_threads(), "rounds": 10}


def test_without_evaluate_the_accuracy_is_not_a_number() -> None:
    table = compare(nn.Linear(2, 2), nn.Linear(2, 1), torch.zeros(1, 2), rounds=1)
    assert table["accuracy"].isna().all()


@pytest.mark.parametrize("inputs", [(torch.zeros(1, 2), 2.0), {"factor": 2.0, "x": torch.zeros(1, 2)}])
def test_measure_calls_the_model_with_tuples_and_dicts(inputs: object) -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor, factor: float) -> Tensor:  # type: ignore[override]
            return super().forward(factor * x)

    assert measure({"only": Scaled(2, 2)}, inputs, rounds=1)["macs"].tolist() == [4]


def test_cancel_is_asked_before_the_evaluation_too() -> None:
    evaluated: list[nn.Module] = []
    asked: list[bool] = []

    def cancel() -> bool:
        asked.append(True)
        return len(asked) > 2

    def evaluate(model: nn.Module) -> float:
        evaluated.append(model)
        return 1.0

    with pytest.raises(CancelledError):
        measure({"only": nn.Linear(2, 2)}, torch.zeros(1, 2), evaluate, rounds=1, cancel=cancel)
    assert evaluated == []
