"""Make the gallery: `python -m prunescope.explorer.gallery.train`.

Exports the digits from scikit-learn with their split, trains both models with named seeds, checks what was
written by reading it back, and writes `digits.npz`, the weights and `gallery.json` beside this file. Needs
scikit-learn; computes with one thread, so that a second run on the same machine gives the same files.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from prunescope.core.measure import parameters
from prunescope.explorer.gallery import GALLERY, Entry
from prunescope.explorer.gallery.data import FILE, SPLIT_SEED, SPLIT_SHARES, SPLITS
from prunescope.explorer.gallery.fit import accuracy, fit

FOLDER = Path(__file__).parent

TRAINING_SEED = 1
"""Of the initial weights, and of the order of the images and their moves."""

LEAST_ACCURACY = 0.96
"""On the test split; below it something is broken, and the weights are not written."""

SOURCE = 'E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998'


def main() -> None:
    """Write the data, then the weights, then the record of how they were made."""
    torch.set_num_threads(1)
    split_sizes = export_digits(FOLDER / FILE)
    models = {name: train_entry(entry) for name, entry in GALLERY.items()}
    content = {
        "data": {
            "source": SOURCE,
            "licence": "CC BY 4.0",
            "split_seed": SPLIT_SEED,
            "split_sizes": split_sizes,
        },
        "torch": torch.__version__,
        "cpu": cpu_name(),
        "threads": 1,
        "models": models,
    }
    (FOLDER / "gallery.json").write_text(json.dumps(content, indent=2) + "\n")


def export_digits(path: Path) -> dict[str, int]:
    """Write images, labels and split, all uint8, and return the number of images in each split."""
    digits = load_digits()
    split = split_of(digits.target)
    np.savez_compressed(
        path,
        images=digits.images.astype(np.uint8),
        labels=digits.target.astype(np.uint8),
        split=split,
    )
    return {name: int((split == number).sum()) for number, name in enumerate(SPLITS)}


def split_of(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The split of each image, `(N,)` uint8 positions in `SPLITS`, each digit in the same shares."""
    everything = np.arange(len(labels))
    _, validation_share, test_share = SPLIT_SHARES
    rest, test = train_test_split(everything, test_size=test_share, stratify=labels, random_state=SPLIT_SEED)
    _, validation = train_test_split(
        rest, test_size=validation_share / (1 - test_share), stratify=labels[rest], random_state=SPLIT_SEED
    )
    split = np.zeros(len(labels), np.uint8)
    split[validation] = SPLITS.index("validation")
    split[test] = SPLITS.index("test")
    return split


def train_entry(entry: Entry) -> dict[str, Any]:
    """Train one model, write its weights, and return its part of the record.

    Raises:
        RuntimeError: The model is worse than `LEAST_ACCURACY`, or the weights do not read back alike.
    """
    torch.manual_seed(TRAINING_SEED)
    model = entry.architecture()
    fit(model, _print_epoch, epochs=entry.epochs, learning_rate=entry.learning_rate, seed=TRAINING_SEED)
    on_test = accuracy(model, "test")
    if on_test < LEAST_ACCURACY:
        raise RuntimeError(f"{entry.name}: {on_test:.4f} on the test split, expected {LEAST_ACCURACY} or more")
    # Not save_file, which makes a file that only its owner can read.
    (FOLDER / f"{entry.name}.safetensors").write_bytes(save(model.state_dict()))
    if entry.evaluate(entry.build()) != on_test:
        raise RuntimeError(f"{entry.name}: the weights that were written give another accuracy")
    return {
        "parameters": parameters(model),
        "epochs": entry.epochs,
        "learning_rate": entry.learning_rate,
        "seed": TRAINING_SEED,
        "accuracy": {"validation": accuracy(model, "validation"), "test": on_test},
    }


def cpu_name() -> str:
    """The processor's own name where the system tells it, its architecture elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _print_epoch(epoch: int, of: int, loss: float, accuracy: float) -> None:
    sys.stdout.write(f"epoch {epoch}/{of}  loss {loss:.4f}  validation accuracy {accuracy:.4f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
