"""The network on which criteria are held against Torch-Pruning 1.6.1, and the script that stored its scores.

`pip install torch-pruning==1.6.1`, then `python -m tests.core.torch_pruning_scores` writes them again.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

STORED = Path(__file__).with_name("data") / "torch_pruning_scores.json"
X = torch.sin(torch.arange(2 * 3 * 8 * 8) * 0.7).view(2, 3, 8, 8)
LABELS = torch.tensor([1, 3])


class Network(nn.Module):
    """Convolutions, a skip connection and linear layers; weights by a formula, so that every release has the same."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.hidden = nn.Linear(8 * 16, 12, bias=False)
        self.out = nn.Linear(12, 5, bias=False)
        with torch.no_grad():
            for number, weight in enumerate(self.parameters(), start=1):
                # all positive: for distances the reference takes the absolute value of every weight
                weight.copy_((torch.sin(torch.arange(weight.numel()) * (1.3 + number)).view(weight.shape) + 1.1) / 8)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.first(x)))
        x = x + functional.relu(self.second(x))
        x = functional.max_pool2d(x, 2).flatten(1)
        logits: Tensor = self.out(functional.relu(self.hidden(x)))
        return logits


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def scores_of_the_reference() -> dict[str, dict[str, list[float]]]:
    """Criterion -> group, by the layer whose output it is -> scores."""
    import torch_pruning as reference

    importances = {
        "magnitude": (True, reference.importance.GroupMagnitudeImportance(p=2, bias=True)),
        "magnitude-l1": (True, reference.importance.GroupMagnitudeImportance(p=1, bias=True)),
        "lamp": (False, reference.importance.LAMPImportance()),
        "fpgm": (True, reference.importance.FPGMImportance(p=1)),
        "bn-scale": (True, reference.importance.BNScaleImportance()),
        "taylor": (False, reference.importance.GroupTaylorImportance()),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for name, (norm, importance) in importances.items():
        model = Network(norm).eval()
        loss(model, (X, LABELS)).backward()
        graph = reference.DependencyGraph().build_dependency(model, example_inputs=X)
        found[name] = {}
        for layer in ("first", "hidden"):
            module = getattr(model, layer)
            prune = (
                reference.prune_conv_out_channels
                if isinstance(module, nn.Conv2d)
                else reference.prune_linear_out_channels
            )
            given = importance(graph.get_pruning_group(module, prune, list(range(module.weight.shape[0]))))
            if given is not None:
                found[name][layer] = given.tolist()
    return found


if __name__ == "__main__":
    STORED.write_text(json.dumps(scores_of_the_reference(), indent=1))
