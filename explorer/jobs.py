"""Work that takes longer than a second, on an executor, with progress and cancel."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from prunescope.core.errors import PrunescopeError


@dataclass(frozen=True, slots=True)
class Pull:
    """What sparse training does to one group in an epoch."""

    group: str  # its name
    faded: float  # share of its units under a hundredth of the largest
    norm: float  # sum of the squares of all weights of all its units
    gamma: float  # mean over its units: how strongly they are pulled to zero


@dataclass(frozen=True, slots=True)
class Point:
    """What a training job knows after an epoch."""

    epoch: int  # from 1
    loss: float
    accuracy: float | None  # None where it is not measured
    faded: float | None  # share of the units under a hundredth of their group's largest; None without sparsity
    groups: tuple[Pull, ...] = ()  # each group under sparse training; none without


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands; a new one replaces it at every step."""

    id: int
    title: str  # what it does, for the screen
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    step: str = ""  # what it is doing now
    done: int = 0  # steps done
    of: int = 0  # of how many; 0 where that is not known
    error: str = ""  # what went wrong, in full
    curve: tuple[Point, ...] = ()  # of a training job, an epoch each

    @property
    def is_over(self) -> bool:
        return self.status in ("done", "failed", "cancelled")


class Progress:
    """Handed to the work: it says how far it is, and learns whether to stop."""

    def __init__(
        self, tell: Callable[[str, int, int], None], draw: Callable[[Point], None] = lambda point: None
    ) -> None:
        self._tell = tell
        self.point = draw  # add a point to the job's curve
        self._stop = threading.Event()

    def step(self, text: str, done: int = 0, of: int = 0) -> None:
        """Say what is being done. Raises CancelledError where the job was cancelled."""
        if self.cancelled():
            raise CancelledError
        self._tell(text, done, of)

    def cancelled(self) -> bool:
        return self._stop.is_set()

    def cancel(self) -> None:
        self._stop.set()


class Jobs:
    """The jobs of one session, one at a time by default, so that timings do not disturb each other."""

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="prunescope-job")
        self._lock = threading.Lock()
        self._states: dict[int, JobState] = {}
        self._progress: dict[int, Progress] = {}
        self._futures: dict[int, Future[None]] = {}
        self._ids = itertools.count(1)

    def submit(self, title: str, work: Callable[[Progress], None]) -> JobState:
        """Start `work(progress)`; its exceptions end up in the job's state."""
        job = next(self._ids)
        progress = Progress(
            lambda step, done, of: self._change(job, status="running", step=step, done=done, of=of),
            lambda point: self._change(job, curve=(*self._states[job].curve, point)),
        )
        with self._lock:
            self._states[job] = JobState(job, title, "waiting")
            self._progress[job] = progress
        self._futures[job] = self._executor.submit(self._run, job, work, progress)
        return self._states[job]

    def _run(self, job: int, work: Callable[[Progress], None], progress: Progress) -> None:
        try:
            progress.step("starting")
            work(progress)
        except CancelledError:
            self._change(job, status="cancelled")
        except PrunescopeError as error:
            self._change(job, status="failed", error=str(error))
        except Exception as error:
            self._change(job, status="failed", error=f"{type(error).__name__}: {error}")
        else:
            self._change(job, status="done")

    def _change(self, job: int, **changes: object) -> None:
        with self._lock:
            self._states[job] = replace(self._states[job], **changes)  # type: ignore[arg-type]

    @property
    def states(self) -> tuple[JobState, ...]:
        """All jobs in the order in which they were submitted."""
        with self._lock:
            return tuple(self._states.values())

    @property
    def active(self) -> tuple[JobState, ...]:
        """The jobs that wait or run."""
        return tuple(state for state in self.states if not state.is_over)

    def cancel(self) -> None:
        """Stop every job that waits or runs at its next step."""
        for state in self.active:
            self._progress[state.id].cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Block until every job submitted so far is over."""
        for future in list(self._futures.values()):
            future.result(timeout)
