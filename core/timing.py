"""The time of a forward pass, of several models in the same run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from prunescope.core.errors import BadInput, MeasurementFailed
from prunescope.core.inputs import as_call
from prunescope.core.modes import evaluating

if TYPE_CHECKING:
    from torch.utils.benchmark import Timer

Progress = Callable[[int, int], None]
"""`progress(done, of)`: called after each round of timing."""

Cancel = Callable[[], bool]
"""Asked before each round of timing; True ends the measurement with `concurrent.futures.CancelledError`."""


@dataclass(frozen=True)
class Latency:
    """The time of one forward pass of one model.

    Attributes:
        median_ms: Median over the rounds, milliseconds a forward pass.
        iqr_ms: Interquartile range over the rounds, milliseconds; the spread of `median_ms`.
        runs: Forward passes that were timed, warm-up not counted.
        threads: Threads that torch computed with.
    """

    median_ms: float
    iqr_ms: float
    runs: int
    threads: int


@dataclass(frozen=True)
class _Samples:
    """The timings of one model.

    Attributes:
        seconds: Of one forward pass, a value for each round.
        repeat: Forward passes that each value is the mean of.
    """

    seconds: Sequence[float]
    repeat: int


def latency(
    models: Sequence[nn.Module],
    example_inputs: Any,
    rounds: int = 10,
    min_round_seconds: float = 0.02,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[Latency, ...]:
    """Time one forward pass of each model, in eval mode without gradients, all of them in the same run.

    In each round every model has its turn, in an order that is reversed from round to round, so that whatever
    else the machine is doing falls on all of them alike.

    Args:
        models: At least one; their training modes are left as they were.
        example_inputs: One tensor, a tuple of positional arguments or a dict of keyword arguments.
        rounds: Samples for each model.
        min_round_seconds: A sample repeats the forward pass until about this much time has gone by.
        threads: Threads for torch to compute with; as many as torch is set to, if None.
        progress: Called as `progress(done, of)` after each round.
        cancel: Asked before each round.

    Returns:
        One `Latency` for each model, in the order of `models`.

    Raises:
        BadInput: The example inputs have another form, or there are no rounds.
        MeasurementFailed: A model raised.
        concurrent.futures.CancelledError: `cancel` returned True.
    """
    _check_timing(models, rounds)
    args, kwargs = as_call(example_inputs)
    threads = torch.get_num_threads() if threads is None else threads
    with ExitStack() as stack, torch.no_grad():
        for model in models:
            stack.enter_context(evaluating(model))
            run_once(model, args, kwargs, asked="time a forward pass")
        timers = [_timer(model, args, kwargs, threads) for model in models]
        sampled = _sample(timers, rounds, min_round_seconds, progress, cancel)
    return tuple(_summary(samples, threads) for samples in sampled)


def run_once(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], asked: str) -> None:
    try:
        model(*args, **kwargs)
    except Exception as error:
        raise MeasurementFailed(
            asked=asked,
            found=f"the model raised {type(error).__name__}: {error}",
            where=f"{type(model).__name__}.forward, with the example inputs",
            what_to_do="check that the model takes these inputs in eval mode, on the device they are on",
        ) from error


def _timer(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], threads: int) -> Timer:
    # Imported late: it loads the builder of C++ extensions, which warns where CUDA_HOME is set without a GPU.
    from torch.utils.benchmark import Timer

    names = {"model": model, "args": args, "kwargs": kwargs}
    return Timer("model(*args, **kwargs)", globals=names, num_threads=threads)


def _sample(
    timers: Sequence[Timer],
    rounds: int,
    min_round_seconds: float,
    progress: Progress | None,
    cancel: Cancel | None,
) -> list[_Samples]:
    repeats = [_repeats(timer, min_round_seconds) for timer in timers]
    samples: list[list[float]] = [[] for _ in timers]
    for done in range(rounds):
        stop_if(cancel)
        turns = range(len(timers)) if done % 2 == 0 else reversed(range(len(timers)))
        for turn in turns:
            samples[turn].append(timers[turn].timeit(repeats[turn]).median)
        if progress is not None:
            progress(done + 1, rounds)
    return [_Samples(times, repeat) for times, repeat in zip(samples, repeats, strict=True)]


def _summary(samples: _Samples, threads: int) -> Latency:
    low, median, high = np.percentile(samples.seconds, [25, 50, 75])
    runs = len(samples.seconds) * samples.repeat
    return Latency(1000 * float(median), 1000 * float(high - low), runs, threads)


def _repeats(timer: Timer, min_round_seconds: float) -> int:
    timer.timeit(1)
    return max(1, math.ceil(min_round_seconds / timer.timeit(1).median))


def stop_if(cancel: Cancel | None) -> None:
    if cancel is not None and cancel():
        raise CancelledError("the measurement was cancelled")


def _check_timing(models: Sequence[nn.Module], rounds: int) -> None:
    if models and rounds >= 1:
        return
    raise BadInput(
        asked="measure latency",
        found=f"{len(models)} models and {rounds} rounds",
        where="arguments models and rounds",
        what_to_do="give at least one model and one round",
    )
