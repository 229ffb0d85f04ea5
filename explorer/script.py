"""The steps that made a version, as a Python script that makes it again."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from prunescope.core import Plan

UNKNOWN = 'raise SystemExit("Set model and example_inputs here: the unpruned model, and inputs that it takes.")'

TEMPLATE = '''"""Makes "{version}" of {title} again.

Usage: python {file} [WEIGHTS.safetensors]
Without weights it cuts the original's; weights that were trained after a cut are in the file taken along with it.
"""

import sys

from prunescope.core import Plan, prune

# what each cut removes, in the order of the cuts
PLANS = [
{plans}]


def original():
    """The unpruned model, and inputs that it takes."""
{origin}
    return model, example_inputs


def pruned(model, example_inputs):
    """The model after all cuts, each of them verified."""
    for text in PLANS:
        result = prune(model, Plan.from_json(text), example_inputs=example_inputs)
        print(result)
        model = result.model
    return model


if __name__ == "__main__":
    model = pruned(*original())
    if len(sys.argv) > 1:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(sys.argv[1]))
    print(f"{{sum(parameter.numel() for parameter in model.parameters()):,}} parameters")
'''


def script(title: str, version: str, origin: str, plans: Sequence[Plan], file: str) -> str:
    """The script's text.

    Args:
        title: What the page calls the model.
        version: Name of the version.
        origin: Code that sets `model` and `example_inputs`; "" where it is not known.
        plans: All cuts from the original to the version.
        file: What the script will be called.
    """
    return TEMPLATE.format(
        version=_plain(version),
        title=_plain(title),
        file=file,
        plans="".join(f"    {made.to_json()!r},\n" for made in plans),
        origin=indent(origin or UNKNOWN, "    "),
    )


def _plain(text: str) -> str:
    """Text that cannot end the script's docstring."""
    return text.replace("\\", "/").replace('"', "'")
