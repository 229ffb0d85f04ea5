"""The exceptions that Prunescope raises: one family, and every message has the same four parts."""

from __future__ import annotations

from collections.abc import Callable

_PARTS = ("asked", "found", "where", "what_to_do")


class PrunescopeError(Exception):
    """Base of every error that Prunescope raises on purpose.

    Attributes:
        asked: What the caller wanted, in the caller's words ("prune blocks.0.attn by 50 %").
        found: What was there instead, with values and shapes; all the offenders, not only the first.
        where: Module path, operation and source line, or the name of the argument.
        what_to_do: The way out.
    """

    def __init__(self, *, asked: str, found: str, where: str, what_to_do: str) -> None:
        super().__init__(asked, found, where, what_to_do)
        self.asked = asked
        self.found = found
        self.where = where
        self.what_to_do = what_to_do

    def __str__(self) -> str:
        return f"{_sentence(self.found)}\n  Asked: {self.asked}\n  Where: {self.where}\n  What to do: {self.what_to_do}"

    def __reduce__(
        self,
    ) -> tuple[Callable[..., PrunescopeError], tuple[type[PrunescopeError], dict[str, str]]]:
        # BaseException rebuilds from positional arguments, which these classes do not take; errors
        # cross process boundaries when the executor of the jobs is a process pool.
        return _rebuild, (type(self), {part: getattr(self, part) for part in _PARTS})


class BadInput(PrunescopeError):
    """An argument is not of a kind that the function can use."""


class UnknownModel(PrunescopeError):
    """No model of that name exists, or the package that has it is not installed."""


class TraceFailed(PrunescopeError):
    """The model raised while it was traced, or its graph is not well formed."""


class UnsupportedOperation(PrunescopeError):
    """No rule says how an operation couples its dimensions."""


class BadPlan(PrunescopeError):
    """A plan does not fit the graph, or its target cannot be reached."""


class VerificationFailed(PrunescopeError):
    """The pruned model does not run, or does not equal the original without the removed units."""


class MeasurementFailed(PrunescopeError):
    """A measurement of a model (accuracy, latency, MACs) did not give a usable number."""


class TrainingFailed(PrunescopeError):
    """Training did not end with a usable model; the model has the weights of the last good epoch."""


class ExportFailed(PrunescopeError):
    """A model cannot be written in another form, or the file gives other outputs."""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _rebuild(kind: type[PrunescopeError], parts: dict[str, str]) -> PrunescopeError:
    return kind(**parts)
