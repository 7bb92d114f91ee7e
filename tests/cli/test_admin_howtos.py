"""What the pages about keys and limits show is run as it stands, in the order of the page."""

import re
import shlex

import pytest
from cli.conftest import Shell
from pages import ROOT, commands, on

ASSIGNED = re.compile(r"^\w+=\$\((.*)\)$")
PAGES = ("give-out-keys", "limit-spending")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_the_page_does_what_it_says(shell: Shell, page: str) -> None:
    if page == "limit-spending":
        shell.ok("teams", "create", "product")
    ran = 0
    for block in on(ROOT / "docs" / "how-to" / f"{page}.md"):
        for line in commands(block.text) if block.language == "sh" else ():
            command = ASSIGNED.sub(r"\1", line)
            if "--url" in command:  # another machine's
                continue
            result = shell.run(*shlex.split(command)[1:])
            assert result.exit_code == 0, (command, result.output)
            ran += 1
    assert ran > 10
