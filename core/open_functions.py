"""Functions that hide calls or sizes from a trace, run in the open: torch's own, scripted ones, products of NumPy's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from prunescope.core.preserve import uncompiled
from prunescope.core.sizes import NumPysSizeInt, SizeFloat, SizeInt


class _Patches:
    """Of torch's own functions, while any thread traces."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.traces = 0  # that run now
        self.stack = ExitStack()  # what puts everything back


_PATCHES = _Patches()


@contextmanager
def functions_in_the_open() -> Iterator[None]:
    """Calls inside functions are seen, of torch's functionals that are written in Python and of scripted functions."""
    with _PATCHES.lock:
        _PATCHES.traces += 1
        if _PATCHES.traces == 1:
            _open_functions(_PATCHES.stack)
    try:
        yield
    finally:
        with _PATCHES.lock:
            _PATCHES.traces -= 1
            if not _PATCHES.traces:
                _PATCHES.stack.close()


def _open_functions(stack: ExitStack) -> None:
    functional = torch.nn.functional
    for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"):
        stack.callback(setattr, functional, name, getattr(functional, name))
        setattr(functional, name, lambda *values: False)
    scripted: Any = torch.jit.ScriptFunction
    call = scripted.__call__
    stack.callback(setattr, scripted, "__call__", call)

    def as_written(function: Any, *args: Any, **kwargs: Any) -> Any:
        # where torch's own compiler finds what a function was scripted from
        return getattr(function, "_torchdynamo_inline", partial(call, function))(*args, **kwargs)

    scripted.__call__ = as_written
    numpy: Any = np
    product = numpy.prod
    stack.callback(setattr, numpy, "prod", product)

    def product_of_sizes(a: Any, *args: Any, **options: Any) -> Any:
        # NumPy would make plain numbers of them
        plain = args or options or not isinstance(a, list | tuple) or not all(isinstance(size, int) for size in a)
        found = None if plain else math.prod(a)
        return NumPysSizeInt(found, found.expression) if isinstance(found, SizeInt) else product(a, *args, **options)

    numpy.prod = product_of_sizes
    python: Any = math
    root = python.sqrt
    stack.callback(setattr, python, "sqrt", root)
    python.sqrt = lambda value, /: value**0.5 if isinstance(value, SizeInt | SizeFloat) else root(value)


@contextmanager
def without_fused_paths(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Attention, recurrent layers and compiled ones of these come apart into the operations that the rules know."""
    attention, recurrent = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # convolutions are slow without it, so only where a recurrent layer would hide its gates in it
    torch._C._set_mkldnn_enabled(recurrent and not any(isinstance(module, nn.RNNBase) for module in modules))
    try:
        with uncompiled():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(attention)
        torch._C._set_mkldnn_enabled(recurrent)
