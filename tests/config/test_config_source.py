from __future__ import annotations

from pathlib import Path

import pytest
from reading import mistakes_in, read

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError


def test_a_key_given_twice_is_told_with_the_line_of_the_first(tmp_path: Path) -> None:
    (found,) = mistakes_in(tmp_path, "server: {port: 1}\nlog: {}\nserver: {port: 2}\n")
    assert (found.line, found.path) == (3, "server")
    assert "line 1" in found.message


def test_anchors_may_be_used_again(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """\
        providers: {s: {kind: simulated}}
        models:
          a: &a {targets: [{provider: s, model: m}]}
          b: *a
        """,
    )
    assert config.models["b"].targets[0].model == "m"


def test_anchors_that_multiply_are_bounded(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = mistakes_in(tmp_path, "\n".join(rows))
    assert any("more than 50000 values" in each.message for each in found)


def test_an_anchor_inside_itself_is_told(tmp_path: Path) -> None:
    found = mistakes_in(tmp_path, "models: &m\n  a: *m\n")
    assert any("contains itself" in each.message for each in found)


def test_depth_is_bounded(tmp_path: Path) -> None:
    found = mistakes_in(tmp_path, "[" * 10_000 + "]" * 10_000)
    assert "levels deep" in found[0].message


def test_merge_keys_are_told(tmp_path: Path) -> None:
    (found,) = mistakes_in(tmp_path, "server: {<<: {port: 1}}")
    assert "merging keys" in found.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("server:\n\tport: 1\n", 2, "a tab stands where"),
        ("server: a: b\n", 1, "a `:` stands where none can"),
        ("server:\n  port: 1\n host: x\n", 3, "indentation"),
        ("server: {port: 1\n", 2, "not correct YAML"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("server: !!python/object:os.system {}\n", 1, "has a tag"),
        ("server: !x {}\n", 1, "has a tag"),
        ("log: {level: !x info}\n", 1, "has a tag"),
        ('log: {level: "\\ud800"}\n', 1, "half of a character"),
        ("? [1]\n: 2\n", 1, "key that is not plain text"),
        ("log: {level: *nothing}\n", 1, "anchor that is not there"),
        ("log: {level: 'a\x00b'}\n", 1, "a character in it that YAML does not allow"),
    ],
)
def test_what_is_not_sound_yaml_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    found = mistakes_in(tmp_path, text)
    assert any(each.line == line and message in each.message for each in found), found


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.yaml"
    file.write_bytes(b"log:\n  level: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text, first in line 2"):
        load(file, {})


@pytest.mark.parametrize("word", ["no", "on", "2024-07-18", "1:30", "0o7", "012x"])
def test_words_that_older_yaml_takes_for_something_else_are_text(tmp_path: Path, word: str) -> None:
    config = read(
        tmp_path,
        f"""\
        providers: {{s: {{kind: simulated}}}}
        models: {{a: {{targets: [{{provider: s, model: {word}}}]}}}}
        """,
    )
    assert config.models["a"].targets[0].model == word


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufefflog: {level: error}").log.level == "error"
