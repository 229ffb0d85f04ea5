"""A covering set of other people's models, small and with random weights; `make zoo` runs all of them."""

from __future__ import annotations

import warnings

import pytest
import torch

from prunescope.core import plan, predicted, prune, score, trace
from prunescope.core.measure import macs, parameters
from tests.benchmarks.zoo import randomise_norms
from tests.benchmarks.zoo_models import models

COVERING = {
    "ssdlite320_mobilenet_v3_large": "boxes are sorted by values",
    "raft_small": "a temperature made of a size, a recurrent update",
    "timm/nfnet/test_nfnet": "standardised weights",
    "timm/tresnet/tresnet_m": "a filter that is a buffer, groups by an attribute",
    "timm/coat/coat_small": "a convolution over channels as positions, sizes in a list",
    "transformers/mixtral": "experts behind a router",
    "transformers/gpt_oss": "interleaved halves",
    "transformers/llama4_text": "complex rotations",
    "transformers/diffllama": "a norm without weights over two heads",
    "transformers/t5": "relative positions, encoder and decoder",
    "pyg/GATConv": "attention over edges",
    "pyg/SAGEConv": "means over neighbours",
}


@pytest.fixture(scope="module", autouse=True)
def _other_peoples_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm  # noqa: F401
        import torch_geometric  # noqa: F401
        import transformers  # noqa: F401


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COVERING, ids=lambda name: f"{name}: {COVERING[name]}")
def test_half_of_every_group_goes_and_the_rest_is_exact(name: str) -> None:
    torch.manual_seed(0)
    model, example = dict(models())[name]()
    randomise_norms(model.eval())
    graph = trace(model, example)
    result = prune(model, plan(graph, score(graph), ratio=0.5))
    assert not result.left_out
    assert result.verification is not None
    assert result.verification.difference is not None
    assert parameters(result.model) < 0.65 * parameters(model)
    assert predicted(graph, result.plan).parameters == parameters(result.model)
    assert predicted(graph, result.plan).macs == macs(result.model, example)
