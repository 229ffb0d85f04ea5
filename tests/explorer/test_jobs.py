"""Jobs: one at a time, with progress, cancel, and every exception told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from prunescope.core.errors import BadPlan
from prunescope.explorer.jobs import Jobs, JobState, Progress

PATIENCE = 30.0  # seconds until a test that waits for a thread gives up


class Gate:
    """Work that says when it has begun, and goes on when it is let through."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self, progress: Progress) -> None:
        self.begun.set()
        assert self.opened.wait(PATIENCE)
        progress.step("let through")


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def nothing(progress: Progress) -> None:
    progress.step("nothing")


def the(jobs: Jobs) -> JobState:
    (state,) = jobs.states
    return state


def test_a_job_tells_its_steps_and_ends_done(jobs: Jobs) -> None:
    seen: list[JobState] = []

    def work(progress: Progress) -> None:
        progress.step("counting", 2, 5)
        seen.append(the(jobs))

    jobs.submit("count", work)
    jobs.wait(PATIENCE)
    assert [(s.title, s.status, s.step, s.done, s.of) for s in seen] == [("count", "running", "counting", 2, 5)]
    assert the(jobs).status == "done"
    assert the(jobs).is_over
    assert jobs.active == ()


def test_jobs_run_one_at_a_time_in_the_order_of_their_submission(jobs: Jobs, gate: Gate) -> None:
    order: list[int] = []
    jobs.submit("first", gate)
    for number in (1, 2, 3):
        jobs.submit("next", lambda progress, number=number: order.append(number))
    assert gate.begun.wait(PATIENCE)
    assert [state.status for state in jobs.states] == ["running", "waiting", "waiting", "waiting"]
    assert order == []
    gate.opened.set()
    jobs.wait(PATIENCE)
    assert order == [1, 2, 3]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError("no units"), "ZeroDivisionError: no units"),
        (BadPlan(asked="cut", found="it is locked", where="fc", what_to_do="choose another"), "What to do: choose"),
    ],
)
def test_an_exception_ends_the_job_as_failed_with_its_message(jobs: Jobs, error: Exception, told: str) -> None:
    def work(progress: Progress) -> None:
        raise error

    jobs.submit("fail", work)
    jobs.wait(PATIENCE)
    assert the(jobs).status == "failed"
    assert told in the(jobs).error


def test_a_job_runs_after_one_that_failed(jobs: Jobs) -> None:
    def work(progress: Progress) -> None:
        raise ValueError

    jobs.submit("fail", work)
    jobs.submit("next", nothing)
    jobs.wait(PATIENCE)
    assert [state.status for state in jobs.states] == ["failed", "done"]


def test_cancel_stops_the_running_job_at_its_next_step_and_the_waiting_ones_before_their_first(
    jobs: Jobs, gate: Gate
) -> None:
    ran: list[str] = []
    jobs.submit("running", gate)
    jobs.submit("waiting", lambda progress: ran.append("waiting"))
    assert gate.begun.wait(PATIENCE)
    jobs.cancel()
    gate.opened.set()
    jobs.wait(PATIENCE)
    assert [state.status for state in jobs.states] == ["cancelled", "cancelled"]
    assert ran == []


def test_cancel_reaches_no_job_that_is_submitted_afterwards(jobs: Jobs) -> None:
    jobs.submit("before", nothing)
    jobs.wait(PATIENCE)
    jobs.cancel()
    jobs.submit("after", nothing)
    jobs.wait(PATIENCE)
    assert [state.status for state in jobs.states] == ["done", "done"]


class AtOnce(Executor):
    """Runs what it is given before `submit` returns."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(call(*args, **kwargs))
        return future


def test_any_executor_may_run_the_jobs() -> None:
    jobs = Jobs(AtOnce())
    assert jobs.submit("at once", nothing).status == "done"
