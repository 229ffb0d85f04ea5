"""What is taken along of a version makes it again: in a new process, in a browser without a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from prunescope.core import Plan, plan, prune
from prunescope.core.errors import BadInput
from prunescope.core.export import load_pruned
from prunescope.explorer.export import KINDS, export, export_in_background, stem
from prunescope.explorer.gallery import open_model
from prunescope.explorer.gallery.models import DigitsResNet
from prunescope.explorer.session import Session
from tests.command import environment
from tests.models import flattened, image

PATIENCE = 60.0


@pytest.fixture(scope="module")
def session() -> Session:
    """The gallery's network, cut twice."""
    opened = open_model("digits-resnet")
    session = Session(opened.model, opened.example_inputs, title=opened.title, origin=opened.origin)
    for share in (0.5, 0.25):
        session.apply(plan(session.version.graph, session.scores(), share), f"a {share:.0%}")
    return session


def same(one: nn.Module, other: nn.Module) -> bool:
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        return torch.equal(one.eval()(x), other.eval()(x))


def test_the_script_makes_the_version_again_in_a_process_of_its_own(session: Session, tmp_path: Path) -> None:
    script, weights = export(session, tmp_path / "make.py"), export(session, tmp_path / "w.safetensors")
    check = (
        "import torch, make\nfrom safetensors.torch import load_file\n"
        "model = make.pruned(*make.original())\n"
        "stored = load_file('w.safetensors')\n"
        "print(all(torch.equal(t, stored[n]) for n, t in model.state_dict().items()))"
    )
    ran = [[sys.executable, "-c", check], [sys.executable, str(script), str(weights)]]
    said = [
        subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
        for command in ran
    ]
    assert said[0].splitlines()[-1] == "True"
    assert said[1].splitlines()[-1] == f"{session.version.parameters:,} parameters"


def test_the_script_of_a_model_from_nowhere_asks_for_it(tmp_path: Path) -> None:
    script = export(Session(flattened(), image()), tmp_path / "make.py")
    ran = subprocess.run([sys.executable, str(script)], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "Set model and example_inputs here" in ran.stderr


def test_weights_and_plan_make_the_version_again(session: Session, tmp_path: Path) -> None:
    for ending in ("safetensors", "plan.json"):
        export(session, tmp_path / f"cut.{ending}")
    assert same(load_pruned(tmp_path / "cut", DigitsResNet()), session.model)
    model: nn.Module = open_model("digits-resnet").model
    for made in json.loads((tmp_path / "cut.plan.json").read_text()):
        model = prune(model, Plan.from_json(json.dumps(made))).model
    model.load_state_dict(load_file(tmp_path / "cut.safetensors"))
    assert same(model, session.model)


def test_the_original_has_no_plan(session: Session, tmp_path: Path) -> None:
    assert json.loads(export(session, tmp_path / "o.plan.json", version=0).read_text()) == []


def test_the_graph_as_svg_has_a_box_for_every_layer_and_lights_the_selected_group(
    session: Session, tmp_path: Path
) -> None:
    tree = ElementTree.fromstring(export(session, tmp_path / "g.svg").read_text())
    boxes = [g for g in tree.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "box"]
    graph = session.version.graph
    assert sorted(layer for box in boxes for layer in box.get("data-layers", "").split()) == sorted(
        layer.name for layer in graph.layers
    )
    session.select("layer1.0.conv1")
    lit = ElementTree.fromstring(export(session, tmp_path / "g.svg").read_text())
    clear = {
        box.get("data-layers")
        for box in lit.iter("{http://www.w3.org/2000/svg}g")
        if box.get("class") == "box" and box.get("opacity") is None
    }
    assert clear == {"layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2"}


def test_the_png_has_twice_the_pixels_of_the_svg(session: Session, tmp_path: Path) -> None:
    svg = ElementTree.fromstring(export(session, tmp_path / "g.svg").read_text())
    content = export(session, tmp_path / "g.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    sizes = [int.from_bytes(content[at : at + 4]) for at in (16, 20)]
    assert sizes == [2 * int(svg.get(side, 0)) for side in ("width", "height")]


@pytest.mark.parametrize("name", ["model.pkl", "model", "model.json"])
def test_other_endings_are_refused_with_those_that_there_are(session: Session, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=re.escape(".safetensors")):
        session.export(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_made_on_the_page_is_kept_with_what_its_check_found() -> None:
    session = Session(flattened(), image())
    export_in_background(session, "pt2")
    session.jobs.wait(PATIENCE)
    (file,) = session.files
    assert file.name == "sequential-original.pt2"
    assert "differs from the model by" in file.note


def test_every_kind_has_its_own_ending() -> None:
    assert all(not one.endswith(f".{other}") for one in KINDS for other in KINDS if one != other)


@pytest.mark.parametrize("title", ["Net / 50 %", "../../etc/passwd", "网络", "", " a.b "])
def test_a_file_name_is_letters_digits_and_dashes(title: str) -> None:
    session = Session(flattened(), image(), title=title)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", stem(session, session.version))
