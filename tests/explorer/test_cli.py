"""The command: what cannot be is answered by one message in four parts and exit code 2, before anything is served."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prunescope.core import trace
from prunescope.explorer.cli import main
from prunescope.explorer.gallery import open_model
from prunescope.explorer.jobs import Progress
from prunescope.explorer.session import Session
from tests.command import PATIENCE, command, environment, running

SERVE = ("--no-browser", "--port", "0")
OPEN = ("own:build", "--input", "1,3,8,8")

OWN_MODULE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)).eval()

model = build()
number = 7

def fails():
    raise OSError("no weights on this disk")

def needs_arguments(width):
    return nn.Linear(width, width)

def evaluate(model):
    raise KeyError("validation images")
"""


@dataclass(frozen=True)
class Message:
    """What a command said when it could not do what it was asked."""

    found: str
    asked: str
    where: str
    what_to_do: str

    @classmethod
    def read(cls, text: str) -> Message:
        parts = re.fullmatch(
            r"prunescope: (.+)\n  Asked: (.+)\n  Where: (.+)\n  What to do: (.+)\n", text, flags=re.DOTALL
        )
        assert parts is not None, text
        assert "Traceback" not in text
        return cls(*parts.groups())


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with a module of the user's."""
    (tmp_path / "own.py").write_text(OWN_MODULE)
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    # the command puts its own folder in front of the path, and imports from it
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("own", "broken"):
        sys.modules.pop(name, None)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> Message:
    """The message of a command that must fail; nothing is served or printed beside it."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return Message.read(printed.err)


@pytest.mark.parametrize("report", [(), ("report",)])
def test_an_unknown_model_is_answered_with_near_names(
    capsys: pytest.CaptureFixture[str], report: tuple[str, ...]
) -> None:
    message = refused(capsys, *report, "resnet51")
    assert "'resnet51'" in message.asked
    assert "digits-resnet" in message.found
    assert "resnet50" in message.what_to_do


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("nowhere.at.all:build", "No module named 'nowhere'"),
        ("own:bild", "has no attribute 'bild'"),
        ("broken:build", "No module named 'no_such_package'"),
        (":build", "Empty module name"),
        ("own:", "AttributeError"),
    ],
)
def test_a_path_that_does_not_import_is_named(
    own: Path, capsys: pytest.CaptureFixture[str], path: str, found: str
) -> None:
    message = refused(capsys, path, "--input", "1,3,8,8")
    assert found in message.found
    assert path in message.asked
    assert "pkg.module:name" in message.what_to_do


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("own:number", "'int' object is not callable"),
        ("own:fails", "OSError: no weights on this disk"),
        ("own:needs_arguments", "missing 1 required positional argument"),
        ("own:evaluate", "missing 1 required positional argument"),
    ],
)
def test_a_name_that_gives_no_model_is_named(
    own: Path, capsys: pytest.CaptureFixture[str], path: str, found: str
) -> None:
    message = refused(capsys, path, "--input", "1,3,8,8")
    assert found in message.found
    assert message.where == path
    assert "returns the model" in message.what_to_do


@pytest.mark.parametrize("option", ["--evaluate", "--train"])
def test_a_function_that_does_not_import_is_named_with_its_option(
    own: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    message = refused(capsys, *OPEN, option, "own:nothing")
    assert message.where == option
    assert "nothing" in message.found


@pytest.mark.parametrize("shape", ["", "1,3,x", "1;3;8;8", "0,3,8,8", "-1,3", "1,3,8,8:float31", "1,3,8,8:nn"])
def test_a_wrong_input_is_shown_with_an_example(own: Path, capsys: pytest.CaptureFixture[str], shape: str) -> None:
    message = refused(capsys, "own:build", f"--input={shape}")
    assert repr(shape) in message.asked
    assert message.where == "--input"
    assert "--input 1,3,224,224" in message.what_to_do


def test_a_model_of_ones_own_needs_an_input(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "own:build")
    assert "no --input" in message.found
    assert "--input 1,3,32,32" in message.what_to_do


@pytest.mark.parametrize("report", [(), ("report",)])
@pytest.mark.parametrize(
    ("model", "shape", "shown"),
    [
        ("own:build", "1,4,8,8", "(1, 4, 8, 8)"),
        ("own:model", "1,3,9,9", "(1, 3, 9, 9)"),
        ("digits-resnet", "1,3,8,8", "(1, 3, 8, 8)"),
    ],
)
def test_a_model_that_does_not_run_on_the_input_is_named_with_shape_and_module(
    own: Path, capsys: pytest.CaptureFixture[str], report: tuple[str, ...], model: str, shape: str, shown: str
) -> None:
    message = refused(capsys, *report, model, "--input", shape)
    assert shown in message.asked
    assert "RuntimeError" in message.found
    assert message.where.startswith("module ")
    assert "runs on its own" in message.what_to_do


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused(capsys, "--no-browser", "--port", str(port))
    assert str(port) in message.asked
    assert "in use" in message.found
    assert "--port" in message.where
    assert "another port" in message.what_to_do


def test_a_port_or_host_that_cannot_be_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "65535" in refused(capsys, "--no-browser", "--port", "70000").found
    assert "192.0.2.1" in refused(capsys, "--no-browser", "--host", "192.0.2.1").asked


def test_a_state_dict_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors")
    for path in (tmp_path / "missing.pt", tmp_path / "missing.safetensors", bad, tmp_path):
        message = refused(capsys, "digits-resnet", "--state-dict", str(path))
        assert str(path) in message.asked
        assert message.where == "--state-dict"
        assert ".safetensors" in message.what_to_do


def test_a_state_dict_of_another_model_is_refused(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "other.safetensors")
    for model in (("digits-resnet",), OPEN):
        message = refused(capsys, *model, "--state-dict", "other.safetensors")
        assert "conv1.weight" in message.found or "0.weight" in message.found


def test_a_pickled_model_is_not_unpickled(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = own / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (ran,))

    torch.save({"weight": Trap()}, "trap.pt")
    refused(capsys, "digits-resnet", "--state-dict", "trap.pt")
    assert not ran.exists()


def test_an_option_that_does_not_exist_ends_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--no-such-option"])
    assert exit_.value.code == 2
    assert "usage: prunescope" in capsys.readouterr().err


def test_report_prints_every_layer_every_group_and_every_lock(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "digits-resnet"]) == 0
    printed = capsys.readouterr().out.splitlines()
    opened = open_model("digits-resnet")
    graph = trace(opened.model, opened.example_inputs)
    first_words = [line.split(" ")[0] for line in printed]
    assert {layer.name for layer in graph.layers} <= set(first_words)
    assert f"Groups that can be cut: {len(graph.groups)}" in printed
    for group in graph.groups:
        (line,) = [line for line in printed if line.startswith(f"  {group.name}: ")]
        assert f"{group.size} {group.kind}" in line
        assert all(layer in line for layer in group.layers)
    assert {f"  {lock}" for lock in graph.locks} <= set(printed)


def test_report_reads_a_state_dict_and_a_model_of_ones_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import own as module  # type: ignore[import-not-found]

    torch.save(module.build().state_dict(), "own.pt")
    assert main(["report", *OPEN, "--state-dict", "own.pt"]) == 0
    assert "Groups that can be cut: 1" in capsys.readouterr().out


def test_the_process_that_fails_ends_with_code_2_and_one_message(tmp_path: Path) -> None:
    finished = subprocess.run(
        command("nowhere:build", "--input", "1"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "No module named 'nowhere'" in Message.read(finished.stderr).found


def test_the_page_answers_as_soon_as_its_address_is_printed_and_an_interrupt_ends_it_well(own: Path) -> None:
    with running(own, *OPEN, "--evaluate", "own:evaluate", *SERVE) as (process, address):
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            assert answer.status == 200
            assert b"own:build" in answer.read()
        process.send_signal(signal.SIGINT)
        _, problems = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert "Traceback" not in problems


def test_an_interrupt_cancels_what_still_runs(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    class Interrupted:
        url = "http://127.0.0.1:1/"

        def __init__(self, session: Session, host: str, port: int | None) -> None:
            self.session = session
            sessions.append(session)

        def forever(self) -> None:
            self.session.jobs.submit("Fine-tune", self.train)
            raise KeyboardInterrupt

        def train(self, progress: Progress) -> None:
            while not given_up.wait(0.01):
                progress.step("an epoch")

    sessions: list[Session] = []
    monkeypatch.setattr("prunescope.explorer.server.serve", Interrupted)
    try:
        assert main([*OPEN, "--no-browser"]) == 0
        sessions[0].jobs.wait(PATIENCE)
        assert sessions[0].jobs.states[-1].status == "cancelled"
    finally:
        given_up.set()
