"""`tidegate console`."""

from __future__ import annotations

from cli.conftest import Shell


def test_it_says_where_the_console_is_and_what_to_sign_in_with(shell: Shell) -> None:
    told = shell.told("console")
    assert told["url"] == f"http://127.0.0.1:{shell.served.port}/console/"
    assert told["token_file"] == str(shell.served.directory / "admin.token")
    said = shell.ok("console")
    assert told["url"] in said


def test_it_names_the_address_that_others_use(shell: Shell) -> None:
    text = shell.config.read_text().replace("{port:", "{url: https://tidegate.example, port:")
    shell.config.write_text(text)
    told = shell.told("console")
    assert told["url"] == "https://tidegate.example/console/"
    assert told["here"] == f"http://127.0.0.1:{shell.served.port}/console/"
