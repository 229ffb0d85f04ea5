"""The scripts of notebooks/results: each in its short version, from training to the log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notebooks.results.study import ORIGINAL, read
from tests.command import REPOSITORY


@pytest.mark.parametrize(
    ("script", "runs"), [(["speed_ups", "gat"], 2), (["ablation"], 9)], ids=["speed-ups", "ablation"]
)
def test_the_short_version_of_a_study_logs_every_run_and_does_none_twice(
    script: list[str], runs: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", f"notebooks.results.{script[0]}", *script[1:], "--minute", "--logs", str(tmp_path)]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    (log,) = tmp_path.glob("*.jsonl")
    found = read(log)
    assert len(found) == runs
    (original,) = [run for run in found if run.method == ORIGINAL]
    for run in found:
        assert run.macs <= 1 / run.speed_up + 1e-9
        assert 0 <= run.test <= 1
    assert original.macs == 1
    assert original.test > 0.9
    again = subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    assert "Run(" not in again.stdout
    assert read(log) == found
