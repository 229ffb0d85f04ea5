"""Everything that can be taken along of a version: one table, for the page and for `Session.export`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from safetensors.torch import save

from prunescope.core.errors import BadInput, ExportFailed
from prunescope.core.export import plans_text, tensors_of, to_onnx, to_program
from prunescope.explorer.drawing import OPEN_LIMIT
from prunescope.explorer.jobs import JobState, Progress
from prunescope.explorer.layout import Outline
from prunescope.explorer.picture import Picture
from prunescope.explorer.script import script
from prunescope.explorer.session import Session, plans_from_original
from prunescope.explorer.standalone import standalone
from prunescope.explorer.svg import colours, svg
from prunescope.explorer.version import File, Version
from prunescope.explorer.view import coupling_record, group_layers, layer_boxes


@dataclass(frozen=True, slots=True)
class Made:
    """The content of a file, and what is to be said of it."""

    content: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file."""

    ending: str
    label: str
    sentence: str
    make: Callable[[Session, Version], Made]


def _weights(session: Session, version: Version) -> Made:
    return Made(save(tensors_of(version.model), metadata={"prunescope": version.name}))


def _plan(session: Session, version: Version) -> Made:
    return Made(plans_text(plans_from_original(session, version)).encode())


def _script(session: Session, version: Version) -> Made:
    plans = plans_from_original(session, version)
    return Made(script(session.title, version.name, session.origin, plans, f"{stem(session, version)}.py").encode())


def _onnx(session: Session, version: Version) -> Made:
    made = to_onnx(version.model, session.example_inputs)
    return Made(made.content, str(made))


def _program(session: Session, version: Version) -> Made:
    made = to_program(version.model, session.example_inputs)
    return Made(made.content, str(made))


def _picture(session: Session, version: Version) -> Picture:
    """As it is on the screen, else opened as far as it can still be read."""
    outline = Outline(layer_boxes(version.graph), version.graph.edges)
    opened: Collection[str] = session.opened or outline.initial_open()
    while not session.opened and outline.visible(opened) < outline.visible(deeper := outline.level_opened(opened)):
        if outline.visible(deeper) > OPEN_LIMIT:
            break
        opened = deeper
    return outline.arrange(opened)


def _svg(session: Session, version: Version) -> Made:
    chosen = session.selection
    known = {layer.name for layer in version.graph.layers}
    group = version.graph.group_of(chosen.layer, chosen.side) if chosen and chosen.layer in known else None
    lit = group_layers(version.graph, group) if group else None
    return Made(svg(_picture(session, version), colours("light"), lit).encode())


def _png(session: Session, version: Version) -> Made:
    try:
        import resvg_py
    except ImportError as error:
        raise ExportFailed(
            asked="draw the graph as PNG",
            found="resvg-py is not installed",
            where="this Python environment",
            what_to_do="pip install 'prunescope[export]', or take the SVG",
        ) from error
    return Made(bytes(resvg_py.svg_to_bytes(svg_string=_svg(session, version).content.decode(), zoom=2)))


def _html(session: Session, version: Version) -> Made:
    title = f"{session.title}, {version.name}"
    return Made(standalone(_picture(session, version), coupling_record(version.graph), title).encode())


KINDS = MappingProxyType(
    {
        kind.ending: kind
        for kind in (
            Kind("safetensors", "Weights", "all tensors by name, no pickle", _weights),
            Kind("plan.json", "Plan", "the cuts, to be applied to the original class again", _plan),
            Kind("py", "Script", "the same steps as Python code", _script),
            Kind("onnx", "ONNX", "checked against onnxruntime on the same input", _onnx),
            Kind("pt2", "torch.export", "a program, loaded again and checked", _program),
            Kind("html", "Graph as a page", "with its groups; opens without a server", _html),
            Kind("svg", "Graph as SVG", "as it is on the screen", _svg),
            Kind("png", "Graph as PNG", "the same as pixels", _png),
        )
    }
)


def export(session: Session, path: str | Path, version: int | None = None) -> Path:
    """Write a version (the one on screen if None) to a file; its ending says what is written.

    Raises:
        BadInput: no kind of file has this ending, or there is no such version.
        ExportFailed: it cannot be made, or does not pass its check.
    """
    target = Path(path)
    kind = next((kind for ending, kind in KINDS.items() if target.name.endswith(f".{ending}")), None)
    if kind is None or (version is not None and not 0 <= version < len(session.versions)):
        raise BadInput(
            asked=f"export {'the version on screen' if version is None else f'version {version}'} to {target.name}",
            found="no kind of file has this ending" if kind is None else f"there are {len(session.versions)} versions",
            where="Session.export",
            what_to_do=f"use one of {', '.join(f'.{ending}' for ending in KINDS)}, and a version of session.versions",
        )
    chosen = session.version if version is None else session.versions[version]
    target.write_bytes(kind.make(session, chosen).content)
    return target


def export_in_background(session: Session, ending: str) -> JobState:
    """Make a file of the version on screen as a job; it is then `session.files[-1]`."""
    kind, version = KINDS[ending], session.version

    def work(progress: Progress) -> None:
        progress.step(f"writing {kind.label} of {version.name}")
        made = kind.make(session, version)
        session.add_file(File(f"{stem(session, version)}.{ending}", made.content, made.note))

    return session.jobs.submit(f"{kind.label} of {version.name}", work)


def stem(session: Session, version: Version) -> str:
    """A file name of the session's title and the version, letters and digits only."""
    return re.sub(r"[^a-z0-9]+", "-", f"{session.title} {version.name}".lower()).strip("-") or "model"
