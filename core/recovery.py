"""After a cut: normalisation statistics measured anew, fine-tuning, distillation from the original."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils._pytree import tree_leaves

from prunescope.core.errors import BadInput, TrainingFailed
from prunescope.core.evidence import Loss
from prunescope.core.inputs import as_call, plain_output
from prunescope.core.measure import Evaluate, accuracy
from prunescope.core.modes import evaluating, keeping_mode
from prunescope.core.timing import Cancel

Batches: TypeAlias = Iterable[Any] | Callable[[int], Iterable[Any]]
"""Batches that can be read anew each epoch, or a function of the epoch's number (from 0) that gives them."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of training."""

    number: int  # from 1
    loss: float  # mean over the batches
    accuracy: float | None  # what `evaluate` gave after it; None without one
    rate: float  # learning rate at its beginning
    seconds: float


Report: TypeAlias = Callable[[Epoch, int], None]
"""`report(epoch, of)`: called after each epoch."""


def recalibrate(
    model: nn.Module, batches: Iterable[Any], run: Callable[[nn.Module, Any], Any] | None = None
) -> tuple[str, ...]:
    """Measure the running statistics of all normalisation layers anew, in place: the plain mean over these batches.

    Args:
        model: All else is left as it is, the weights included.
        batches: Some hundreds of examples in all are usual.
        run: `run(model, batch)`; a batch is taken as example inputs if None.

    Returns:
        The names of the layers that were measured.

    Raises:
        BadInput: there is no batch, or one does not fit the model; the statistics are as they were.
    """
    layers = {n: m for n, m in model.named_modules() if getattr(m, "running_mean", None) is not None}
    before = {name: {k: v.clone() for k, v in layer.named_buffers(recurse=False)} for name, layer in layers.items()}
    momenta = {name: layer.momentum for name, layer in layers.items()}
    count = 0
    with keeping_mode(model), torch.no_grad():
        model.eval()
        for layer in layers.values():
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        try:
            for batch in batches:
                count += 1
                (run or _run)(model, batch)
        except Exception as error:
            _put_back(layers, before)
            raise BadInput(
                asked="measure normalisation statistics anew",
                found=f"{type(error).__name__}: {error}",
                where=f"batch {count}",
                what_to_do="give batches that the model takes, or run(model, batch) that feeds it",
            ) from error
        finally:
            for name, layer in layers.items():
                layer.momentum = momenta[name]
    if count:
        return tuple(layers)
    _put_back(layers, before)
    raise BadInput(
        asked="measure normalisation statistics anew",
        found="there is no batch",
        where="argument batches",
        what_to_do="give at least one batch",
    )


def _put_back(layers: dict[str, nn.Module], before: dict[str, dict[str, Tensor]]) -> None:
    for name, layer in layers.items():
        for buffer, value in layer.named_buffers(recurse=False):
            value.copy_(before[name][buffer])


def _run(model: nn.Module, batch: Any) -> None:
    args, kwargs = as_call(batch)
    model(*args, **kwargs)


def distilled(
    loss: Loss,
    teacher: nn.Module,
    *,
    logits: Callable[[Any], Tensor] | None = None,
    temperature: float = 4.0,
    share: float = 0.7,
) -> Loss:
    """A loss that also asks for the teacher's answers (Hinton et al., Distilling the Knowledge, 2015).

    The teacher is run on what `loss` runs the model on: any loss serves that calls the model.

    Args:
        loss: The ordinary loss.
        teacher: The original. It is run in eval mode without gradients.
        logits: `logits(output)` gives the logits (..., classes) of what the model returns; its first tensor
            (examples, classes) if None.
        temperature: Both models' logits are divided by it.
        share: Weight of the teacher's part, 0 to 1; the ordinary loss has the rest.

    Raises:
        BadInput: when the loss is called: it does not call the model, or the model returns no such logits.
    """
    answer = logits or first_logits

    def with_teacher(model: nn.Module, batch: Any) -> Tensor:
        calls: list[tuple[Any, Any, Any]] = []
        hook = model.register_forward_hook(lambda _, *call: calls.append(call), with_kwargs=True)
        try:
            ordinary = loss(model, batch).mean()
        finally:
            hook.remove()
        if not calls:
            raise BadInput(
                asked="learn from the teacher",
                found="the loss does not call the model itself",
                where="loss(model, batch)",
                what_to_do="call model(...) in it, not a part of the model",
            )
        apart = [_apart(answer(output), _taught(teacher, answer, *call), temperature) for *call, output in calls]
        return (1 - share) * ordinary + share * temperature**2 * torch.stack(apart).mean()

    return with_teacher


def first_logits(output: Any) -> Tensor:
    """The first tensor of what a model returns, as logits (examples, classes).

    Raises:
        BadInput: it is no tensor of two dimensions and at least two classes.
    """
    leaves = [leaf for leaf in tree_leaves(plain_output(output)) if isinstance(leaf, Tensor)]
    if leaves and not (problem := no_logits(tuple(leaves[0].shape))):
        return leaves[0]
    raise BadInput(
        asked="logits of what the model returns",
        found=problem if leaves else "it returns no tensor",
        where="the model's output",
        what_to_do="give logits=, a function of the output that gives the logits (..., classes)",
    )


def no_logits(shape: tuple[int, ...]) -> str:
    """Why an output of this shape is no logits (examples, classes); "" where it may be."""
    if len(shape) == 2 and shape[1] > 1:
        return ""
    return f"the first output is {shape}, not (examples, classes)"


@torch.no_grad()
def _taught(teacher: nn.Module, answer: Callable[[Any], Tensor], args: Any, kwargs: Any) -> Tensor:
    with evaluating(teacher):
        return answer(teacher(*args, **kwargs))


def _apart(given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """The mean Kullback-Leibler divergence of two models' logits (..., classes), softened."""
    log_given, log_wanted = (functional.log_softmax(logits / temperature, dim=-1) for logits in (given, wanted))
    return functional.kl_div(log_given, log_wanted, reduction="none", log_target=True).sum(-1).mean()


def fine_tune(  # noqa: PLR0913  one verb, and each argument a choice of its own
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    epochs: int,
    *,
    optimiser: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    precision: Precision = "auto",
    evaluate: Evaluate | None = None,
    regularise: Callable[[], None] | None = None,
    before_epoch: Callable[[], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    report: Report | None = None,
    cancel: Cancel | None = None,
) -> tuple[Epoch, ...]:
    """A plain training loop, in place.

    Args:
        model: Ends in the training mode that it had.
        batches: What `loss` takes. With a checkpoint, a function of the epoch's number keeps the order of the data the
            same whether the training was interrupted or not.
        loss: `loss(model, batch)`, for example `distilled(...)`.
        epochs: In all, the ones before an interruption included.
        optimiser: SGD with rate 0.01, Nesterov momentum 0.9 and weight decay 5e-4 if None.
        scheduler: Stepped after each epoch; a cosine to zero over all epochs if None.
        precision: "bfloat16" computes in mixed precision; "auto" does where a GPU has it.
        evaluate: The accuracy after each epoch.
        regularise: Called between `backward` and the optimiser's step, for example `GroupSparsity.regularise`.
        before_epoch: Called before each epoch, for example `GroupSparsity.update`.
        checkpoint: A file that is replaced after each epoch. Where it exists, training goes on from it: killed at any
            moment, no more than one epoch is lost. No pickled objects are in it.
        report: Called after each epoch.
        cancel: Asked before each batch.

    Returns:
        All epochs, those before an interruption included.

    Raises:
        BadInput: no epochs, or the checkpoint is of another model or is damaged.
        TrainingFailed: the loss raised or was no finite number; the model has the weights of the last good epoch.
        concurrent.futures.CancelledError: `cancel` returned True; the model has the weights of the last good epoch.
    """
    _check_epochs(epochs)
    optimiser = optimiser or SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = scheduler or CosineAnnealingLR(optimiser, epochs)
    parts = {"model": model, "optimiser": optimiser, "scheduler": scheduler}
    path = Path(checkpoint) if checkpoint is not None else None
    done = _resumed(path, parts) if path is not None and path.exists() else []
    with keeping_mode(model):
        for number in range(len(done), epochs):
            good = {name: value.clone() for name, value in model.state_dict().items()}
            if before_epoch is not None:
                before_epoch()
            model.train()
            rate, started = float(optimiser.param_groups[0]["lr"]), time.perf_counter()
            try:
                mean = _epoch(model, _of_epoch(batches, number), loss, optimiser, precision, regularise, cancel)
            except (TrainingFailed, CancelledError):
                model.load_state_dict(good)
                raise
            scheduler.step()
            found = accuracy(model, evaluate) if evaluate is not None else None
            done.append(Epoch(number + 1, mean, found, rate, time.perf_counter() - started))
            if path is not None:
                _save(path, parts, done)
            if report is not None:
                report(done[-1], epochs)
    return tuple(done)


def _epoch(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Loss,
    optimiser: Optimizer,
    precision: Precision,
    regularise: Callable[[], None] | None,
    cancel: Cancel | None,
) -> float:
    losses = []
    for number, batch in enumerate(batches, start=1):
        if cancel is not None and cancel():
            raise CancelledError("the training was cancelled")
        optimiser.zero_grad(set_to_none=True)
        with _failing_at(number):
            with _autocast(model, precision):
                value = loss(model, batch).mean()
            value.backward()
        losses.append(_finite(value, number))
        if regularise is not None:
            regularise()
        optimiser.step()
    if losses:
        return sum(losses) / len(losses)
    raise TrainingFailed(
        asked="train for an epoch",
        found="there is no batch",
        where="argument batches",
        what_to_do="give batches that can be read anew each epoch: a list or a data loader, not a generator",
    )


@contextmanager
def _failing_at(batch: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise TrainingFailed(
            asked="train for an epoch",
            found=f"{type(error).__name__}: {error}",
            where=f"loss(model, batch) with batch {batch}",
            what_to_do="give batches that the model takes; try loss(model, batch) by itself",
        ) from error


def _finite(value: Tensor, batch: int) -> float:
    number = float(value.detach())
    if number - number == 0:
        return number
    raise TrainingFailed(
        asked="train for an epoch",
        found=f"the loss is {number}",
        where=f"batch {batch}",
        what_to_do="use a lower learning rate, or look for what makes the loss overflow",
    )


def _autocast(model: nn.Module, precision: Precision) -> AbstractContextManager[Any]:
    device = next((p.device.type for p in model.parameters()), "cpu")
    has_it = device == "cuda" and torch.cuda.is_bf16_supported()
    wanted = precision == "bfloat16" or (precision == "auto" and has_it)
    return torch.autocast(device, torch.bfloat16) if wanted else nullcontext()


def _of_epoch(batches: Batches, number: int) -> Iterable[Any]:
    return batches(number) if callable(batches) else batches


def _save(path: Path, parts: dict[str, Any], done: list[Epoch]) -> None:
    """Replace the file at once: a kill leaves the old one or the new one."""
    record = {name: part.state_dict() for name, part in parts.items()}
    record |= {"random": torch.get_rng_state(), "epochs": [asdict(epoch) for epoch in done]}
    new = path.with_name(f"{path.name}.new")
    torch.save(record, new)
    os.replace(new, path)


def _resumed(path: Path, parts: dict[str, Any]) -> list[Epoch]:
    before = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})
    try:
        record = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(record[name])
        torch.set_rng_state(record["random"])
        return [Epoch(**epoch) for epoch in record["epochs"]]
    except Exception as error:
        for name, part in parts.items():
            part.load_state_dict(before[name])
        raise BadInput(
            asked=f"go on from checkpoint {path.name}",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
            what_to_do="give the model and optimiser that it was written with, or delete it to begin anew",
        ) from error


def _check_epochs(epochs: int) -> None:
    if epochs >= 1:
        return
    raise BadInput(
        asked=f"train for {epochs} epochs",
        found="there has to be at least one",
        where="argument epochs",
        what_to_do="give for example epochs=10",
    )
