"""Work done in a process of its own, so that its time and its peak memory are its own."""

from __future__ import annotations

import gc
import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

Result = TypeVar("Result")

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """One piece of work."""

    seconds: float  # of processor time, which other work on the machine does not lengthen
    megabytes: float  # by which its process grew at its peak
    facts: Mapping[str, float] = field(default_factory=dict)


Works = Mapping[str, Callable[[], Measured]]


class Failed(Exception):
    """The work raised, took too long, or its process died; one line that says which."""


class FreshProcess:
    """A new process that does one piece of work at a time, on one thread. `with` ends it."""

    def __init__(self, prepare: Callable[..., Works], *arguments: object) -> None:
        self._prepare, self._arguments = prepare, arguments
        self._start()

    def do(self, work: str, limit: float) -> Measured:
        """Wait for a piece of work, at most `limit` seconds. Raises Failed; other work may be asked for after it."""
        answer = self._answer(work, limit)
        if isinstance(answer, Failed):
            raise answer
        return answer

    def _answer(self, work: str, limit: float) -> Measured | Failed:
        try:
            self._pipe.send(work)
            if self._pipe.poll(limit):
                answer: Measured | Failed = self._pipe.recv()
                return answer
            failed = Failed(f"stopped after {limit:.0f} s")
        except (EOFError, OSError):
            failed = Failed("its process died")
        self._end()
        self._start()
        return failed

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        arguments = (other_end, self._prepare, self._arguments)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other_end.close()

    def _end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()


def measured(work: Callable[[], Result]) -> tuple[Result, Measured]:
    gc.collect()
    # Linux can set the peak back to what is resident now; elsewhere a peak that came before hides a lower one
    if _RESET.exists():
        _RESET.write_text("5")
    peak, start = _peak_megabytes(), time.process_time()
    result = work()
    seconds = time.process_time() - start
    return result, Measured(seconds, _peak_megabytes() - peak)


def _peak_megabytes() -> float:
    if _STATUS.exists():
        found = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _serve(pipe: Connection, prepare: Callable[..., Works], arguments: tuple[object, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    works: Works | None = None
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        try:
            works = works or prepare(*arguments)
            pipe.send(works[asked]())
        except Exception as error:
            pipe.send(Failed(_one_line(error)))


def _one_line(error: Exception) -> str:
    text = getattr(error, "found", None) or str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}"[:200]


def table(header: list[str], rows: list[list[Any]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def number(value: float | None) -> str:
    """Three digits; empty where there is none."""
    return "" if value is None else f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:.0f}"
