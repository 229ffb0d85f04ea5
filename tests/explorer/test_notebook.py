"""`explore`, and the notebooks of the repository run from the first cell to the last."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from prunescope.core import plan
from prunescope.core.errors import TraceFailed
from prunescope.explorer import explore
from tests.command import PATIENCE, REPOSITORY, environment
from tests.models import flattened, image

FOLDER = REPOSITORY / "notebooks"
KERNEL_PATIENCE = 600  # seconds for a cell: training on a busy machine
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook, executed in a kernel of its own."""
    client = NotebookClient(
        notebook, timeout=KERNEL_PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment())
    return notebook


def answers(url: str, title: str) -> bool:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return bool(answer.status == 200 and title in answer.read().decode())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked to open."""
    found: list[str] = []
    monkeypatch.setattr("webbrowser.open", found.append)
    return found


def test_explore_serves_the_page_and_gives_the_session_whose_model_is_on_it(opened: list[str]) -> None:
    model = flattened()
    session = explore(model, image(), title="a small one")
    assert answers(session.url, "a small one")
    assert opened == [session.url]
    assert session.model is model
    made = session.apply(plan(session.version.graph, session.scores(), ratio=0.5))
    assert session.model is session.version.model is made.model is not model
    session.undo()
    assert session.model is model
    session.jobs.wait(PATIENCE)
    assert session.versions[0].latency is not None


def test_two_models_are_explored_side_by_side(opened: list[str]) -> None:
    first, second = (explore(flattened(), image(), title=title, show=False) for title in ("first", "second"))
    assert first.url != second.url
    assert answers(first.url, "first")
    assert answers(second.url, "second")
    assert opened == []
    for session in (first, second):
        session.jobs.wait(PATIENCE)


def test_explore_serves_nothing_for_a_model_that_does_not_run(opened: list[str]) -> None:
    with pytest.raises(TraceFailed):
        explore(flattened(), image()[:, :2])
    assert opened == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


CHECK = """
import urllib.request

with urllib.request.urlopen(session.url) as answer:
    print(answer.status, "ResNet" in answer.read().decode())
print(session.model is session.version.model, session.redo().name, session.model is session.versions[1].model)
"""


def test_under_jupyterhub_the_page_is_at_the_hubs_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    monkeypatch.setattr("prunescope.explorer.notebook._in_notebook", lambda: True)
    session = explore(flattened(), image(), show=False)
    assert re.match(r"/user/ada/proxy/\d+/\?token=", session.url)


INLINE = "print(explore(model, example_inputs).url)"


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "quickstart"], ids=lambda path: path.stem)
def test_a_notebook_runs_from_the_first_cell_to_the_last(path: Path, tmp_path: Path) -> None:
    ran = run(nbformat.read(path, 4), tmp_path)
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    notebook = nbformat.read(FOLDER / "quickstart.ipynb", 4)
    notebook.cells += [new_code_cell(CHECK), new_code_cell(INLINE)]
    return run(notebook, tmp_path_factory.mktemp("quickstart"))


def printed(cell: NotebookNode) -> list[str]:
    """Lines that the cell wrote to its standard output."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout").splitlines()


def test_the_quickstart_ends_with_a_session_whose_page_answers(quickstart: NotebookNode) -> None:
    assert printed(quickstart.cells[-2]) == ["200 True", "True half of all channels True"]


def test_in_a_notebook_the_page_appears_below_the_cell(quickstart: NotebookNode) -> None:
    cell = quickstart.cells[-1]
    (url,) = printed(cell)
    shown: list[dict[str, Any]] = [output["data"] for output in cell.outputs if output.output_type == "display_data"]
    assert [f'src="{url}"' in data["text/html"] for data in shown] == [True]
