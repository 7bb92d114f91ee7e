from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from tidegate.config.secrets import Secret, resolve
from tidegate.config.surroundings import Surroundings


def test_nothing_but_reveal_gives_a_secret_out() -> None:
    secret = Secret("hidden-text")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>5}", repr([secret])]
    assert not any("hidden" in text for text in shown)
    assert b"hidden" not in pickle.dumps(secret)
    assert "hidden" not in copy.deepcopy(secret).reveal()
    assert secret.reveal() == "hidden-text"


def test_secrets_of_one_text_are_equal() -> None:
    assert Secret("a") == Secret("a", "elsewhere")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_variable_is_looked_up(tmp_path: Path) -> None:
    secret = resolve("Bearer ${env:TOKEN}", Surroundings(tmp_path, {"TOKEN": "abc"}))
    assert secret.reveal() == "Bearer abc"
    assert secret.source == "${env:TOKEN}"


def test_a_file_is_read_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc\n")
    assert resolve("${file:key}", Surroundings(tmp_path, {})).reveal() == "abc"
    assert resolve(f"${{file:{tmp_path}/key}}", Surroundings(Path("/"), {})).reveal() == "abc"


def test_text_in_a_variable_is_not_resolved_again(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, {"A": "${env:B}", "B": "b"})
    assert resolve("${env:A}", around).reveal() == "${env:B}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("${env:NONE}", "NONE, which is not set; set it before starting: export NONE="),
        ("${env:BLANK}", "BLANK, which is empty"),
        ("${env:LINES}", "no HTTP header can carry"),
        ("${file:none}", "the file none, which cannot be read: No such file"),
        ("${file:blank}", "which is empty"),
        ("${file:binary}", "not UTF-8"),
        ("${file:long}", "too long"),
        ("${file:.}", "cannot be read"),
        ("${env:}", "unknown form"),
        ("${}", "unknown form"),
        ("${vualt:x}", "unknown form"),
        ("${vault:x}", "refers to Vault, and VAULT_ADDR is not set"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_text("x" * 100_000)
    around = Surroundings(tmp_path, {"BLANK": " ", "LINES": "a\nb"})
    with pytest.raises(PydanticCustomError) as caught:
        resolve(text, around)
    assert message in str(caught.value)


def test_a_variable_of_nearly_that_name_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        resolve("${env:OPENAI_KEY}", Surroundings(tmp_path, {"OPENAI_KEYS": "x", "HOME": "/"}))
    assert caught.value.context is not None
    assert caught.value.context["nearest"] == "${env:OPENAI_KEYS}"


def test_a_document_may_have_lines_and_a_header_may_not(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, {"LINES": "a\nb"})
    assert resolve("${env:LINES}", around, lines=True).reveal() == "a\nb"
