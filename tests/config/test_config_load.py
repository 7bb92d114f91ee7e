from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError
from reading import ENVIRON, EVERYTHING, read

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.provider import LocalProvider, OpenAIProvider, SimulatedProvider


def test_an_empty_file_has_all_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert (config.server.host, config.server.port, config.server.workers) == ("127.0.0.1", 8080, 1)
    assert config.server.body_limit == 32 * 2**20
    assert config.server.header_limit == 32 * 2**10
    assert config.server.read_timeout == 30.0
    assert config.control.port == 8081
    assert config.spool.segment == 16 * 2**20
    assert config.records.bodies == "metadata"
    assert config.log.level == "info"
    assert config.keys == ()
    assert config.anonymous is True


def test_units_are_resolved(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)
    assert config.server.body_limit == 8 * 2**20
    assert config.server.keepalive == 60.0
    assert config.server.drain == 0.0
    alias = config.models["assistant"]
    assert alias.timeout.total == 90.0
    (price,) = alias.targets[0].price
    assert price is not None
    assert price.input == 150_000_000
    assert price.cached_input == 75_000_000
    assert price.cache_write == 300_000_000


def test_each_kind_of_provider_has_its_class(tmp_path: Path) -> None:
    providers = read(tmp_path, EVERYTHING).providers
    assert isinstance(providers["openai"], OpenAIProvider)
    assert isinstance(providers["local"], LocalProvider)
    assert isinstance(providers["simulated"], SimulatedProvider)
    assert providers["simulated"].length == "64"


def test_relative_paths_start_at_the_file_not_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there" / "tidegate.yaml").write_text("{}")
    config = load(Path("there/tidegate.yaml"), {})
    assert config.spool.directory == tmp_path / "there" / ".tidegate" / "spool"
    assert config.store.reveal() == f"sqlite:///{tmp_path}/there/.tidegate/tidegate.db"
    assert config.file == tmp_path / "there" / "tidegate.yaml"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    config = read(tmp_path, "{store: 'sqlite:////var/x.db', spool: {directory: /var/spool}}")
    assert config.store.reveal() == "sqlite:////var/x.db"
    assert config.spool.directory == Path("/var/spool")


def test_a_target_takes_over_the_timeouts_it_does_not_set(tmp_path: Path) -> None:
    first, second = read(tmp_path, EVERYTHING).models["assistant"].targets
    assert (first.timeout.connect, first.timeout.idle, first.timeout.total) == (1.0, 0.5, 90.0)
    assert second.timeout.idle == 3.0


def test_an_alias_takes_over_the_records_policy_it_does_not_set(tmp_path: Path) -> None:
    models = read(tmp_path, EVERYTHING).models
    assert models["assistant"].records.bodies == "full"
    assert models["spare"].records.bodies == "none"


@pytest.mark.parametrize(
    ("text", "open_to_all"),
    [
        ("{}", True),
        ("server: {host: '::1'}", True),
        ("keys: [{name: a, secret: b}]", False),
        ("{keys: [{name: a, secret: b}], anonymous: true}", True),
        ("{keys: [{name: a, secret: b}], server: {host: 0.0.0.0}}", False),
        ("{anonymous: true, server: {host: 0.0.0.0}}", True),
    ],
)
def test_callers_without_a_key_are_served_only_where_that_is_safe_or_said(
    tmp_path: Path, text: str, open_to_all: bool
) -> None:
    assert read(tmp_path, text).anonymous is open_to_all


def test_the_version_changes_with_the_content_and_not_with_comments(tmp_path: Path) -> None:
    version = read(tmp_path, "{server: {port: 1}}").version
    assert len(version) == 12
    assert read(tmp_path, "# a comment\nserver:\n  port: 1\n").version == version
    assert read(tmp_path, "{server: {port: 2}}").version != version


def test_nothing_of_it_can_be_changed(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)
    with pytest.raises(ValidationError):
        config.server.port = 1  # type: ignore[misc]


def test_it_can_be_pickled_without_its_secrets(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)
    pickled = pickle.dumps(config)
    assert all(value.encode() not in pickled for value in ENVIRON.values())
    assert pickle.loads(pickled).version == config.version


def test_no_secret_is_in_any_form_it_is_shown_in(tmp_path: Path) -> None:
    config = read(tmp_path, EVERYTHING)
    shown = repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()
    assert not any(value in shown for value in ENVIRON.values())
    assert config.keys[0].secret.reveal() == ENVIRON["WEB_KEY"]


def test_a_missing_file_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tidegate init"):
        load(tmp_path / "none.yaml", {})


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path, {})


def test_a_proxy_of_the_environment_is_resolved_at_load(tmp_path: Path) -> None:
    text = "providers: {a: {kind: openai}, b: {kind: openai, proxy: none}}"
    environ = {"HTTPS_PROXY": "http://user:hidden@proxy:3128"}
    providers = read(tmp_path, text, environ).providers
    first, second = providers["a"], providers["b"]
    assert isinstance(first, OpenAIProvider)
    assert isinstance(second, OpenAIProvider)
    assert first.proxy is not None
    assert first.proxy.reveal() == environ["HTTPS_PROXY"]
    assert "hidden" not in repr(first)
    assert second.proxy is None
    spared = read(tmp_path, text, environ | {"NO_PROXY": ".openai.com"}).providers["a"]
    assert isinstance(spared, OpenAIProvider)
    assert spared.proxy is None
