"""The scripts of notebooks/results: each in its short version, from training to the log."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notebooks.results import furniture, reuters
from notebooks.results.fashion import load
from notebooks.results.study import ORIGINAL, NoData, Run, read
from tests.command import REPOSITORY


def run(script: list[str], logs: Path) -> list[str]:
    """The short version's printed runs."""
    command = [sys.executable, "-m", f"notebooks.results.{script[0]}", *script[1:], "--minute", "--logs", str(logs)]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("Run(")]


def checked(logs: Path, count: int, guessed: float) -> list[Run]:
    """The runs of the only log: as many as that, each within its target, the original better than a guess."""
    (log,) = logs.glob("*.jsonl")
    found = read(log)
    assert len(found) == count
    assert all(each.macs <= 1 / each.speed_up + 1e-9 for each in found)
    assert all(each.after_statistics is not None for each in found)
    (original,) = [each for each in found if each.method == ORIGINAL]
    assert original.macs == 1
    assert original.test > guessed
    return found


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    """Files as Fashion-MNIST has them, of noise with a bright band at one of five heights."""
    folder, chance = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    for name, count in (("train", 1320), ("t10k", 240)):
        labels = chance.integers(0, 5, count).astype(np.uint8)
        pixels = chance.integers(0, 90, (count, 28, 28)).astype(np.uint8)
        rows = 5 * labels[:, None] + 2 + np.arange(2)
        pixels[np.arange(count)[:, None], rows] = 250
        for kind, header, values in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
            (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(bytes(header) + values.tobytes()))
    return folder


def test_clothes_are_split_so_that_a_twelfth_validates_and_no_image_is_in_two_splits(clothes: Path) -> None:
    images = {split: load(split, clothes)[0] for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in images.items()} == {"train": 1210, "validation": 110, "test": 240}
    rows = [image.numpy().tobytes() for part in images.values() for image in part]
    assert len(set(rows)) == len(rows)


def test_the_headline_study_cuts_every_branch_and_goes_on_where_it_was_killed(clothes: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    script = ["headline", "--data", str(clothes), "--epochs", "1.5", "1", "1"]
    by_taylor = ["plain, by Taylor", "weak group sparsity, by Taylor", "plain, by Taylor, distilled"]
    in_steps = "plain, by Taylor in steps, distilled"
    methods = [ORIGINAL, "original, distilled", "group sparsity", "weak group sparsity", "plain", *by_taylor, in_steps]
    assert len(run(script, logs)) == len(methods)
    found = checked(logs, len(methods), guessed=0.4)
    assert [each.method for each in found] == methods
    (log,) = logs.glob("*.jsonl")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    # the branch's network and its checkpoints are as they were: the lost run comes out the same
    assert len(run(script, logs)) == 1
    again = read(log)
    assert (again[-1].after_cut, again[-1].test) == (found[-1].after_cut, found[-1].test)


@pytest.mark.parametrize(
    ("script", "count"), [(["speed_ups", "gat"], 5), (["ablation"], 9)], ids=["speed-ups", "ablation"]
)
def test_the_short_version_of_a_study_logs_every_run_and_does_none_twice(
    script: list[str], count: int, tmp_path: Path
) -> None:
    assert len(run(script, tmp_path)) == count
    found = checked(tmp_path, count, guessed=0.3)
    assert run(script, tmp_path) == []
    assert checked(tmp_path, count, guessed=0.3) == found


@pytest.mark.parametrize(
    # three epochs teach a network with running statistics too little to be better than a guess
    ("task", "data", "count", "guessed"),
    [("lstm", lambda: reuters.lines("test"), 5, 0.495), ("dgcnn", furniture.catalogues, 3, 0.0)],
    ids=["lstm", "dgcnn"],
)
def test_a_study_on_data_of_a_package_runs_where_it_is_installed(
    task: str, data: Callable[[], Any], count: int, guessed: float, tmp_path: Path
) -> None:
    try:
        data()
    except NoData as error:
        pytest.skip(str(error))
    assert len(run(["speed_ups", task], tmp_path)) == count
    checked(tmp_path, count, guessed)
