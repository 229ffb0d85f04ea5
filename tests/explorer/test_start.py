"""What the start of the command and the first page do without, so that the graph is there soon."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from flask.testing import FlaskClient
from torch import nn

import prunescope.explorer
from prunescope.explorer import ids
from prunescope.explorer.app import create_app
from prunescope.explorer.cli import main
from prunescope.explorer.session import Session
from prunescope.explorer.view import quantity
from tests.command import PATIENCE, environment
from tests.models import flattened, image

HELP = """
from prunescope.explorer.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""
REPORT = "from prunescope.explorer.cli import main; main(['report', 'digits-resnet'])"
REFUSED = "from prunescope.explorer.cli import main; main(['digits-resnet', '--input', '1,3,8,8'])"
PAGE = """
from prunescope.explorer.app import create_app
from prunescope.explorer.gallery import open_model
from prunescope.explorer.session import Session

opened = open_model("digits-resnet")
app = create_app(Session(opened.model, opened.example_inputs, evaluate=opened.evaluate, train=opened.train))
assert app.server.test_client().get("/_dash-layout").status_code == 200
"""


def imported(code: str, folder: Path) -> set[str]:
    """The packages and modules that are there after the code has run in a process of its own."""
    listing = f"{code}\nimport sys\nprint('modules:', *sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", listing],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return set(finished.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (HELP, {"torch", "dash", "pandas", "plotly"}),
        (REPORT, {"dash", "plotly", "torch.utils.flop_counter"}),
        (REFUSED, {"dash", "plotly", "pandas"}),
        (PAGE, {"pandas", "torch.utils.flop_counter", "torch.utils.benchmark", "torchvision"}),
    ],
    ids=["help", "report", "refused", "page"],
)
def test_nothing_is_imported_that_is_not_needed(code: str, absent: set[str], tmp_path: Path) -> None:
    assert not absent & imported(code, tmp_path)


def test_garbage_is_collected_again_when_the_command_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-model"]) == 2
    assert gc.isenabled()


def test_the_package_has_the_names_that_it_promises_and_no_others() -> None:
    assert {"Session", "explore"} <= set(dir(prunescope.explorer))
    assert prunescope.explorer.Session is Session
    with pytest.raises(AttributeError, match="no attribute 'sessions'"):
        _ = prunescope.explorer.sessions


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(flattened(), image())


@pytest.fixture(scope="module")
def client(session: Session) -> FlaskClient:
    return create_app(session).server.test_client()


def test_the_page_is_sent_with_what_it_shows_at_first(client: FlaskClient, session: Session) -> None:
    layout = client.get("/_dash-layout").get_data(as_text=True)
    for number in (session.version.parameters, session.version.macs):
        assert quantity(number) in layout
    assert "original" in layout
    assert "Click a layer" in layout


def test_the_invitation_counts_one_group_as_one() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    layout = create_app(Session(model, torch.randn(2, 4))).server.test_client().get("/_dash-layout")
    assert "layers form 1 group of units" in layout.get_data(as_text=True)


def test_an_opened_page_asks_the_server_for_the_ledger_alone(client: FlaskClient) -> None:
    """And for figures, once they are put into their panels."""
    asked = {
        callback["output"]
        for callback in client.get("/_dash-dependencies").get_json()
        if not callback["clientside_function"] and not callback["prevent_initial_call"]
    }
    plots = (ids.IMPORTANCE_GROUP, ids.IMPORTANCE_OVERVIEW, ids.SWEEP_FIGURE, ids.VERSION_PLOT)
    ledger = f"..{ids.LEDGER}.data...{ids.RATING_MESSAGE}.children.."
    assert asked == {ledger, *(f"{plot}.figure" for plot in plots)}


def test_the_original_is_measured_once_when_a_page_has_been_painted() -> None:
    session = Session(flattened(), image())
    session.seen()
    assert session.jobs.states == ()
    session.start_when_seen()
    assert session.jobs.states == ()
    for _ in range(3):
        session.seen()
    session.jobs.wait(PATIENCE)
    assert [job.status for job in session.jobs.states] == ["done"]
    assert session.versions[0].latency is not None
