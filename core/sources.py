"""The lines of the user's code that the model is in while it runs."""

from __future__ import annotations

import dis
import os
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType, FrameType

import torch

# with the separator: torchvision is not torch
_OWN_FOLDERS = tuple(f"{Path(file).parent}{os.sep}" for file in (torch.__file__, __file__))


def source_line(frame: FrameType | None, outermost: CodeType) -> str:
    """The innermost line of code that is neither torch's nor ours; "" where there is none inside `outermost`."""
    while frame is not None:
        code = frame.f_code
        if _users_file(code.co_filename):
            return source_of(code, frame.f_lineno)
        if code is outermost:
            return ""
        frame = frame.f_back
    return ""


def written_numbers(frame: FrameType | None, outermost: CodeType) -> set[int]:
    """The integers that the running code inside `outermost`, torch's and ours left aside, has written in it."""
    found: set[int] = set()
    while frame is not None and frame.f_code is not outermost:
        if _users_file(frame.f_code.co_filename):
            found |= _numbers_in(frame.f_code)
        frame = frame.f_back
    return found


@cache
def _numbers_in(code: CodeType) -> frozenset[int]:
    constants = [step.argval for step in dis.get_instructions(code) if step.opname.startswith("LOAD_")]
    inner = [value for constant in constants if isinstance(constant, tuple) for value in constant]
    return frozenset(value for value in (*constants, *inner) if type(value) is int)


@lru_cache(maxsize=4096)
def source_of(code: CodeType, line: int) -> str:
    """ "file.py:81 in forward" for code that is neither torch's nor ours, else ""."""
    file = _users_file(code.co_filename)
    return f"{file}:{line} in {code.co_name}" if file else ""


@cache
def _users_file(path: str) -> str:
    """The name of a file of code; "" where it is torch's, ours, or none."""
    return "" if path.startswith((*_OWN_FOLDERS, "<")) else Path(path).name
