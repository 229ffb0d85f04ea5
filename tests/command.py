"""The command `prunescope` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 120.0  # seconds until a test that waits for a process gives up


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prunescope.explorer.cli", *arguments]


def environment() -> dict[str, str]:
    """This one's, with PYTHONPATH made absolute: the command runs in another folder."""
    paths = [str(REPOSITORY / path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it printed."""
    # a shell that starts the tests in the background has them, and what they start, ignore interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address is not None, line or process.communicate()[1]
        yield process, address.group()
    finally:
        process.kill()
        process.communicate()
