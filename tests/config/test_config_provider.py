from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from reading import VENDORS, read

from tidegate.config.provider import (
    KINDS,
    AzureProvider,
    BedrockProvider,
    CompatibleProvider,
    OpenAIProvider,
    Upstream,
    VertexProvider,
)
from tidegate.config.vendors import CompatibleKind
from tidegate.providers.compatible import ROWS, row_for


def provider(directory: Path, text: str) -> Upstream:
    found = read(directory, f"providers: {{p: {{{text}}}}}").providers["p"]
    assert isinstance(found, Upstream)
    return found


def test_every_row_of_the_table_is_a_kind() -> None:
    assert set(get_args(CompatibleKind)) == set(ROWS) - {"openai"}
    assert set(ROWS) <= set(KINDS)
    assert len(KINDS) == len(set(KINDS)) == len(ROWS) + 7


def test_an_address_may_be_a_text_or_a_list_of_texts_and_sections(tmp_path: Path) -> None:
    one = provider(tmp_path, "kind: openai, base_url: 'https://a.example/v1/'")
    assert [(each.url, each.weight) for each in one.addresses] == [("https://a.example/v1", 1)]
    gpus = read(tmp_path, VENDORS).providers["gpus"]
    assert isinstance(gpus, CompatibleProvider)
    assert [(each.url, each.weight) for each in gpus.addresses] == [
        ("http://10.0.0.7:8000/v1", 1),
        ("http://10.0.0.8:8000/v1", 3),
    ]


@pytest.mark.parametrize("kind", [kind for kind, row in ROWS.items() if not row.local])
def test_a_vendor_has_its_own_address(tmp_path: Path, kind: str) -> None:
    found = provider(tmp_path, f"kind: {kind}, api_key: x")
    assert [each.url for each in found.addresses] == [ROWS[kind].base_url]


@pytest.mark.parametrize("kind", [kind for kind, row in ROWS.items() if row.local])
def test_a_server_of_ones_own_needs_no_key(tmp_path: Path, kind: str) -> None:
    found = provider(tmp_path, f"kind: {kind}, allow_private: true")
    assert isinstance(found, CompatibleProvider)
    assert [each.url for each in found.addresses] == [ROWS[kind].base_url]
    assert found.keys == (("default", None),)


def test_a_key_in_a_header_is_a_key(tmp_path: Path) -> None:
    assert provider(tmp_path, "kind: groq, headers: {Authorization: Bearer x}").headers


def test_accounts_are_told_by_name(tmp_path: Path) -> None:
    groq = read(tmp_path, VENDORS).providers["groq"]
    assert isinstance(groq, CompatibleProvider)
    assert groq.keys == (("eu", "provider-key-4711"), ("us", "other-key-4712"))
    assert "4711" not in repr(groq)


def test_quirks_are_those_that_were_given(tmp_path: Path) -> None:
    plain = provider(tmp_path, "kind: openai")
    assert isinstance(plain, OpenAIProvider)
    assert plain.quirks.known == {}
    odd = provider(tmp_path, "kind: openai, quirks: {refuses: [n], several: false}")
    assert isinstance(odd, OpenAIProvider)
    row = row_for("openai", own=False, quirks=odd.quirks.known)
    assert (row.refuses, row.several, row.adapts) == ({"n"}, False, True)


def test_every_quirk_is_one_of_a_row(tmp_path: Path) -> None:
    gpus = read(tmp_path, VENDORS).providers["gpus"]
    assert isinstance(gpus, CompatibleProvider)
    assert len(gpus.quirks.known) == len(type(gpus.quirks).model_fields)
    assert row_for("vllm", quirks=gpus.quirks.known).output_field == "max_completion_tokens"


def test_openai_itself_is_told_from_others(tmp_path: Path) -> None:
    for url, own in (("https://api.openai.com/v1", True), ("https://api.openai.com.x/v1", False)):
        found = provider(tmp_path, f"kind: openai, base_url: '{url}'")
        assert isinstance(found, OpenAIProvider)
        assert found.own is own


def test_places_of_the_clouds_follow_from_their_regions(tmp_path: Path) -> None:
    providers = read(tmp_path, VENDORS).providers
    vertex, bedrock = providers["vertex"], providers["bedrock"]
    assert isinstance(vertex, VertexProvider)
    assert isinstance(bedrock, BedrockProvider)
    assert vertex.addresses[0].url == "https://europe-west4-aiplatform.googleapis.com/v1"
    assert bedrock.addresses[0].url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    everywhere = provider(tmp_path, "kind: vertex, project: p, location: global")
    assert everywhere.addresses[0].url == "https://aiplatform.googleapis.com/v1"
    china = provider(tmp_path, "kind: bedrock, region: cn-north-1")
    assert china.addresses[0].url.endswith(".amazonaws.com.cn")
    own = provider(tmp_path, "kind: bedrock, region: us-east-1, base_url: 'https://vpce.example'")
    assert own.addresses[0].url == "https://vpce.example"


def test_azure_takes_a_token_for_a_key(tmp_path: Path) -> None:
    azure = read(tmp_path, VENDORS).providers["azure"]
    assert isinstance(azure, AzureProvider)
    assert azure.keys == (("default", None),)
    assert azure.token is not None


def test_the_environments_proxy_must_be_one_for_all_replicas(tmp_path: Path) -> None:
    text = (
        "providers: {p: {kind: openai, base_url: ['https://a.example/v1', 'https://b.example/v1']}}"
    )
    environ = {"HTTPS_PROXY": "http://proxy:3128"}
    found = read(tmp_path, text, environ).providers["p"]
    assert isinstance(found, Upstream)
    assert found.proxy is not None
    with pytest.raises(Exception, match="different proxies"):
        read(tmp_path, text, environ | {"NO_PROXY": "b.example"})
