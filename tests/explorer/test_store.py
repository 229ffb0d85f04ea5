"""A session on disk: what was there is there again, and a kill at any moment leaves it whole."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from prunescope.core import plan
from prunescope.core.errors import BadInput
from prunescope.core.sensitivity import Cut
from prunescope.explorer import store as module
from prunescope.explorer.jobs import Progress
from prunescope.explorer.session import Session
from prunescope.explorer.store import RECORD, WEIGHTS, Store, digest, store_for
from prunescope.explorer.version import Sweep
from tests.models import flattened, image

SWEEP = Sweep("magnitude", (Cut("0", 0.5, 0.25),), 0.5)


def opened(root: Path, *, fresh: bool = False) -> Session:
    model = flattened()
    return Session(model, image(), evaluate=lambda _: 0.5, store=store_for(root, "a model", model, fresh=fresh))


def half(session: Session) -> None:
    session.apply(plan(session.version.graph, session.scores(), ratio=0.5), "half")


def answer(model: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(image())
    return out


@pytest.fixture
def kept(tmp_path: Path) -> Session:
    """The original, a cut of it, the cut with new weights, and another branch; measured, named and noted."""
    session = opened(tmp_path)
    half(session)
    tuned = copy.deepcopy(session.model)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.25)
    session.add_trained(session.version, "tuned", tuned, Progress(lambda step, done, of: None))
    session.show(0)
    half(session)
    session.measure()
    session.rename(3, "the other half")
    session.annotate(3, "keep this one")
    session.keep_sweep(0, SWEEP)
    session.show(2)
    return session


def test_every_version_is_there_again_with_its_weights_names_and_measurements(kept: Session, tmp_path: Path) -> None:
    again = opened(tmp_path)
    assert [(v.id, v.parent, v.name, v.note, v.accuracy, v.latency, v.parameters, v.macs) for v in again.versions] == [
        (v.id, v.parent, v.name, v.note, v.accuracy, v.latency, v.parameters, v.macs) for v in kept.versions
    ]
    for before, now in zip(kept.versions, again.versions, strict=True):
        assert torch.equal(answer(before.model), answer(now.model))
    assert again.version.id == 2
    assert again.versions[1].verified == str(kept.versions[1].pruned)
    assert again.sweep(0) == SWEEP


def test_work_goes_on_where_it_ended(kept: Session, tmp_path: Path) -> None:
    again = opened(tmp_path)
    again.show(3)
    half(again)
    assert [version.parent for version in opened(tmp_path).versions] == [None, 0, 1, 0, 3]


def test_a_kill_while_a_version_is_written_loses_at_most_that_version(
    kept: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(module.os, "replace", kill)
    with pytest.raises(Killed):
        half(kept)
    monkeypatch.undo()
    again = opened(tmp_path)
    assert [version.name for version in again.versions] == ["original", "half", "tuned", "the other half"]
    half(again)
    assert len(opened(tmp_path).versions) == 5


def test_other_weights_have_another_folder_and_fresh_begins_anew_beside_the_old(kept: Session, tmp_path: Path) -> None:
    other = flattened()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert digest(other) != digest(flattened())
    assert store_for(tmp_path, "a model", other).folder != store_for(tmp_path, "a model", flattened()).folder
    anew = opened(tmp_path, fresh=True)
    half(anew)
    assert len(anew.versions) == 2
    assert len(opened(tmp_path).versions) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["record", "format", "weights"])
def test_damaged_files_are_refused_with_the_way_out_and_left_where_they_are(
    kept: Session, tmp_path: Path, damage: str
) -> None:
    (folder,) = tmp_path.iterdir()
    record = folder / RECORD
    if damage == "record":
        record.write_text("{")
    elif damage == "format":
        record.write_text(json.dumps({**json.loads(record.read_text()), "format": 99}))
    else:
        (folder / "1" / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(BadInput, match="--fresh"):
        opened(tmp_path)
    assert record.exists()


def test_a_store_without_a_record_gives_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path / "nothing").read() is None
