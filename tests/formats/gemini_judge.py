"""google-genai's own types as the judge of what is sent."""

from __future__ import annotations

from typing import Any

import msgspec
from google.genai import types

TOP = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier"}


def judge(body: dict[str, Any]) -> None:
    """Raises when `body` is not what Google's API takes; unknown fields are errors too."""
    assert set(body) <= TOP
    assert body["contents"]
    for content in body["contents"]:
        assert types.Content.model_validate_json(msgspec.json.encode(content)).parts
    instruction = body.get("systemInstruction", {"parts": []})
    types.Content.model_validate_json(msgspec.json.encode(instruction))
    for tool in body.get("tools", ()):
        types.Tool.model_validate_json(msgspec.json.encode(tool))
    types.ToolConfig.model_validate_json(msgspec.json.encode(body.get("toolConfig", {})))
    config = body.get("generationConfig", {})
    types.GenerationConfig.model_validate_json(msgspec.json.encode(config))
    assert body.get("serviceTier", "flex") in {tier.value for tier in types.ServiceTier}
    if "toolConfig" in body:
        mode = body["toolConfig"]["functionCallingConfig"]["mode"]
        assert mode in {each.value for each in types.FunctionCallingConfigMode}
    level = config.get("thinkingConfig", {}).get("thinkingLevel", "LOW")
    assert level in {each.value for each in types.ThinkingLevel}
