"""The laws of the error family and of the forms that example inputs may have."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from prunescope.core import errors
from prunescope.core.errors import BadInput, PrunescopeError
from prunescope.core.inputs import as_call

FAMILY = [
    errors.BadInput,
    errors.UnknownModel,
    errors.TraceFailed,
    errors.UnsupportedOperation,
    errors.BadPlan,
    errors.VerificationFailed,
    errors.MeasurementFailed,
]


def example(kind: type[PrunescopeError] = PrunescopeError) -> PrunescopeError:
    return kind(asked="cut 3 units", found="the group has 2", where="conv1, net.py:7", what_to_do="ask for 1")


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_caught_as_a_prunescope_error(kind: type[PrunescopeError]) -> None:
    with pytest.raises(PrunescopeError, match="the group has 2"):
        raise example(kind)


def test_the_message_shows_all_four_parts_and_says_first_what_was_found() -> None:
    assert str(example()).splitlines() == [
        "the group has 2.",
        "  Asked: cut 3 units",
        "  Where: conv1, net.py:7",
        "  What to do: ask for 1",
    ]


def test_a_part_that_is_left_out_is_refused() -> None:
    with pytest.raises(TypeError, match="what_to_do"):
        BadInput(asked="a", found="b", where="c")  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_survives_pickling(kind: type[PrunescopeError]) -> None:
    copy = pickle.loads(pickle.dumps(example(kind)))
    assert type(copy) is kind
    assert str(copy) == str(example(kind))


def test_one_tensor_is_the_only_positional_argument_as_a_copy() -> None:
    x = torch.randn(2)
    args, kwargs = as_call(x)
    assert args[0] is not x
    assert torch.equal(args[0], x)
    assert (len(args), kwargs) == (1, {})


def test_a_tuple_is_the_positional_arguments_and_a_dict_the_keyword_arguments() -> None:
    assert as_call((1, None)) == ((1, None), {})
    assert as_call({"mask": 1}) == ((), {"mask": 1})


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ([torch.zeros(1)], "a list of 1"),
        ({0: 1, "x": 2}, "keys that are no argument names: 0"),
        (None, "NoneType"),
    ],
)
def test_any_other_form_is_refused_by_name(inputs: Any, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        as_call(inputs)
