"""The configuration's file as the back of the house sees and writes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tidegate.config.load import adopt, load, version_of
from tidegate.control.admin.configured import FileRefused, InForce
from tidegate.house.written import Written

ONE = "providers: {sim: {kind: simulated}}\nmodels: {one: {targets: [{provider: sim, model: m}]}}\n"
TWO = ONE.replace("one", "two")


def written(path: Path, copy: Path | None = None) -> Written:
    return Written(path, copy, load(path, copy=copy))


def test_what_is_in_force_is_what_was_adopted_and_not_what_the_file_says(tmp_path: Path) -> None:
    path, copy = tmp_path / "tidegate.yaml", tmp_path / "copy.yaml"
    path.write_text(ONE)
    adopt(path, copy)
    file = written(path, copy)
    assert file.in_force() == InForce(version_of(ONE), ONE)
    path.write_text(TWO)
    assert file.in_force() == InForce(version_of(ONE), ONE)
    adopt(path, copy)
    assert file.in_force() == InForce(version_of(TWO), TWO)
    assert set(file.configured().aliases) == {"two"}


def test_file_that_cannot_be_used_leaves_what_was_known(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    file = written(path)
    for text in ("models: [", "moddels: {}\n"):
        path.write_text(text)
        assert file.in_force() == InForce(version_of(ONE), ONE)
    path.unlink()
    assert file.in_force() == InForce(version_of(ONE), ONE)


def test_text_is_put_into_the_file_as_a_whole_and_the_old_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    path.chmod(0o640)
    crlf = TWO.replace("\n", "\r\n")
    written(path).put(crlf)
    assert path.read_bytes() == crlf.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "tidegate.yaml.replaced").read_text() == ONE
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "tidegate.yaml",
        "tidegate.yaml.replaced",
    ]


def test_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "it.yaml", tmp_path / "tidegate.yaml"
    real.write_text(ONE)
    link.symlink_to(real)
    written(link).put(TWO)
    assert link.is_symlink()
    assert real.read_text() == TWO


def test_text_with_mistakes_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    with pytest.raises(FileRefused, match=r"cannot be used any more: .*TIDEGATE_GONE") as refused:
        written(path).put(ONE + "store: '${env:TIDEGATE_GONE}'\n")
    assert "environment" in refused.value.remedy
    assert [each.name for each in tmp_path.iterdir()] == ["tidegate.yaml"]
    assert path.read_text() == ONE


def test_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    file = written(path)
    assert file.refusal() is None
    path.unlink()
    refused = file.refusal()
    assert refused is not None
    assert "cannot be looked at" in refused.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_read_only_file_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    path.chmod(0o400)
    with pytest.raises(FileRefused, match="read-only") as refused:
        written(path).put(TWO)
    assert "tidegate config show" in refused.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    os.chown(path, 1234, 1234)
    written(path).put(TWO)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)
