from __future__ import annotations

import re
from pathlib import Path

import pytest
from reading import ENVIRON, mistakes_in

from tidegate.config.template import template


@pytest.mark.parametrize("local", [True, False])
def test_the_template_is_good_as_it_is(tmp_path: Path, local: bool) -> None:
    assert mistakes_in(tmp_path, template(local=local)) == ()


@pytest.mark.parametrize("local", [True, False])
def test_the_template_is_good_with_its_comments_taken_off(tmp_path: Path, local: bool) -> None:
    text = template(local=local)
    head, body = text.split("server:", 1)
    body = re.sub(r"(?m)^( *)# ", r"\1", body)
    environ = {**ENVIRON, "TIDEGATE_WEB_KEY": "x"}
    found = mistakes_in(
        tmp_path, head + "server:" + body.replace("another-alias", "other"), environ
    )
    assert [each.message for each in found] == ["no alias is called `other`"]


def test_the_template_is_short_enough_to_be_read() -> None:
    lines = template(local=True).splitlines()
    assert len(lines) < 70
    assert max(map(len, lines)) <= 100
