"""The JSON schema of the configuration, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from tidegate.config.model import Config


class _Schema(GenerateJsonSchema):
    """Leaves out the titles that only repeat the key, and defaults that are no value of theirs."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic's signature
        return False

    def default_schema(self, schema: Any) -> Any:
        built = super().default_schema(schema)
        if built.get("default", ...) is None and "anyOf" not in built:
            del built["default"]
        return built


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of what `load` accepts, as far as a schema can say it.

    It does not know which names exist or what is in the environment: `tidegate check` does.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(schema_generator=_Schema),
        "title": "Tidegate configuration",
    }
