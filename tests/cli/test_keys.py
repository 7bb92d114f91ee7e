"""`tidegate keys`, and the people that keys belong to: from the shell to the gateways' file."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from cli.conftest import Shell
from click.testing import CliRunner
from servers import free_port

from tidegate.cli import main
from tidegate.guard.access import TeamRecords


def test_secret_is_all_that_is_printed_on_standard_output(shell: Shell) -> None:
    result = shell.run("keys", "create", "web")
    assert re.fullmatch(r"tg-[\w-]{43}\n", result.stdout)
    assert "not shown again" in result.stderr
    (key,) = shell.served.access().keys
    assert key.digests[0].sha256 == sha256(result.stdout.strip().encode()).hexdigest()


def test_key_has_what_it_was_given(shell: Shell) -> None:
    shell.ok("organisations", "create", "acme")
    shell.ok("teams", "create", "product", "--organisation", "acme", "--weight", "3")
    shell.ok("users", "create", "ann", "--team", "product")
    shell.ok(
        "keys", "create", "web", "--user", "ann", "--model", "assistant", "--model", "c*",
        "--feature", "chat", "--may-name", "tags", "--priority", "batch", "--environment", "live",
        "--expires", "2030-01-31",
    )  # fmt: skip
    (key,) = shell.served.access().keys
    assert (key.user, key.team, key.organisation) == ("ann", "product", "acme")
    assert (key.models, key.features, key.may_name) == (("assistant", "c*"), ("chat",), ("tags",))
    assert (key.priority, key.environment) == ("batch", "live")
    assert key.expires_ns == 1_896_048_000 * 10**9
    shown = shell.ok("keys", "show", "web")
    assert "assistant, c*" in shown
    assert "batch" in shown


def test_setting_is_taken_away_by_none(shell: Shell) -> None:
    shell.ok("keys", "create", "web", "--model", "a", "--environment", "live")
    shell.ok("keys", "change", "web", "--model", "none", "--environment", "none")
    (key,) = shell.served.access().keys
    assert (key.models, key.environment) == (None, None)


def test_keys_are_blocked_rotated_listed_and_deleted(shell: Shell) -> None:
    shell.ok("keys", "create", "web")
    shell.ok("keys", "block", "web")
    assert "blocked" in shell.ok("keys", "list")
    shell.ok("keys", "unblock", "web")
    assert "good" in shell.ok("keys", "list")
    assert shell.ok("keys", "rotate", "web", "--overlap", "1h").startswith("tg-")
    assert len(shell.served.access().keys[0].digests) == 2
    assert [key["name"] for key in shell.told("keys", "list")] == ["web"]
    assert shell.run("keys", "delete", "web", typed="n\n").exit_code == 1
    shell.ok("keys", "delete", "web", "--yes")
    assert shell.served.access().keys == ()


def test_people_are_listed_moved_and_deleted(shell: Shell) -> None:
    shell.ok("organisations", "create", "acme")
    shell.ok("teams", "create", "a", "--organisation", "acme")
    shell.ok("users", "create", "ann", "--team", "a")
    assert shell.run("teams", "delete", "a").exit_code == 1
    shell.ok("users", "change", "ann", "--team", "none")
    shell.ok("teams", "change", "a", "--weight", "7")
    assert re.search(r"a +acme +7", shell.ok("teams", "list"))
    assert shell.told("users", "list")[0]["team"] is None
    for words in (("users", "ann"), ("teams", "a"), ("organisations", "acme")):
        shell.ok(words[0], "delete", words[1])
    assert shell.told("organisations", "list") == []


def test_team_says_what_is_kept_of_it(shell: Shell) -> None:
    shell.ok("teams", "create", "law", "--bodies", "none")
    shell.ok("teams", "create", "med", "--bodies", "redacted", "--share", "10%")
    shell.ok("teams", "change", "med", "--max-body", "4KiB")
    assert shell.served.access().records == {
        "law": TeamRecords(bodies="none"),
        "med": TeamRecords(bodies="redacted", share=0.1, max_body_bytes=4096),
    }
    listed = shell.ok("teams", "list")
    assert re.search(r"law .* none", listed)
    assert "redacted, 0.1 of requests, 4,096 bytes" in listed
    shell.ok("teams", "change", "med", "--bodies", "any", "--share", "none", "--max-body", "none")
    assert list(shell.served.access().records) == ["law"]
    assert "records" in shell.ok("audit", "--action", "team.change")
    assert "percentage" in shell.run("teams", "change", "med", "--share", "lots").stderr


def test_refusal_says_what_and_what_next(shell: Shell) -> None:
    result = shell.run("keys", "create", "web", "--team", "nobody")
    assert result.exit_code == 1
    assert "There is no team `nobody`" in result.stderr
    assert "tidegate teams create nobody" in result.stderr
    assert "Traceback" not in result.output


def test_control_process_that_is_down_is_said_plainly(shell: Shell) -> None:
    shell.config.write_text(
        f"control: {{port: {free_port()}}}\nspool: {{directory: {shell.served.directory}}}\n"
    )
    result = shell.run("keys", "list")
    assert result.exit_code == 1
    assert "tidegate serve" in result.stderr


def test_machine_that_never_served_has_no_token(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.yaml"
    config.write_text("spool: {directory: spool}\n")
    result = CliRunner().invoke(main, ["keys", "list", "--config", str(config)])
    assert result.exit_code == 1
    assert "TIDEGATE_ADMIN_TOKEN" in result.stderr


def test_other_place_and_token_may_be_named(shell: Shell, tmp_path: Path) -> None:
    viewer = shell.ok("tokens", "create", "looks", "--role", "viewer").strip()
    url = f"http://127.0.0.1:{shell.served.port}"
    nowhere = ["--config", str(tmp_path / "none.yaml"), "--url", url]
    result = CliRunner().invoke(main, ["keys", "list", "--token", viewer, *nowhere])
    assert result.exit_code == 0, result.output
    refused = CliRunner().invoke(main, ["keys", "create", "x", "--token", viewer, *nowhere])
    assert "`viewer`" in refused.stderr
    # The token of this machine is not sent to another place.
    assert CliRunner().invoke(main, ["keys", "list", *nowhere]).exit_code == 2


def test_configuration_with_other_mistakes_still_leads_there(shell: Shell) -> None:
    with shell.config.open("a") as file:
        file.write('providers: {p: {kind: openai, api_key: "${env:TIDEGATE_TEST_UNSET}"}}\n')
    assert shell.told("keys", "list") == []


@pytest.mark.parametrize("words", [("keys", "list"), ("users", "list"), ("limits", "list")])
def test_empty_list_says_how_to_begin(shell: Shell, words: tuple[str, str]) -> None:
    assert "tidegate" in shell.run(*words).stderr


def test_tokens_are_listed_and_deleted(shell: Shell) -> None:
    token = shell.ok("tokens", "create", "ci", "--role", "service", "--expires", "90d").strip()
    assert token.startswith("tga-")
    assert re.search(r"ci +service", shell.ok("tokens", "list"))
    shell.ok("tokens", "delete", "ci")
    assert [each["name"] for each in shell.told("tokens", "list")] == ["first"]
