"""botocore's service model of the Bedrock runtime, as the judge of what we write and read."""

from __future__ import annotations

import re
from base64 import b64decode
from functools import cache
from typing import Any, cast

import botocore.eventstream
import botocore.parsers
import botocore.serialize
import botocore.session
import botocore.validate
import msgspec

Json = dict[str, Any]
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@cache
def service() -> Any:
    session: Any = botocore.session.Session()
    return session.get_service_model("bedrock-runtime")


def operation(name: str) -> Any:
    return service().operation_model(name)


def serialized(name: str, parameters: Json) -> tuple[str, Json]:
    """Path and body as botocore would send `parameters`, which are in its own types."""
    serializer: Any = botocore.serialize.create_serializer("rest-json")
    told = serializer.serialize_to_request(parameters, operation(name))
    return told["url_path"], msgspec.json.decode(told["body"])


def check_body(body: Json, name: str = "Converse", model: str = MODEL) -> None:
    """Fails unless `body` is what botocore would send, and every limit of the model is kept."""
    shape = operation(name).input_shape
    parameters = native(shape, {"modelId": model, **body}, "$")
    validator: Any = botocore.validate.ParamValidator()
    report = validator.validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()
    assert serialized(name, parameters)[1] == body


def native(shape: Any, value: Any, path: str) -> Any:
    """`value`, which is JSON, in botocore's types; limits it does not check itself are checked."""
    kind = shape.type_name
    if kind == "structure" and not shape.is_document_type:
        assert isinstance(value, dict), path
        told = cast("Json", value)
        assert told.keys() <= shape.members.keys(), f"{path}: {told.keys()}"
        if shape.is_tagged_union:
            assert len(told) == 1, f"{path}: {told.keys()}"
        return {
            name: native(shape.members[name], each, f"{path}.{name}") for name, each in told.items()
        }
    if kind == "list":
        assert isinstance(value, list), path
        many = cast("list[Any]", value)
        limit(shape, len(many), path)
        return [native(shape.member, each, f"{path}[{n}]") for n, each in enumerate(many)]
    if kind == "blob":
        assert isinstance(value, str), path
        data = b64decode(value, validate=True)
        limit(shape, len(data), path)
        return data
    if kind == "string":
        assert isinstance(value, str), path
        limit(shape, len(value), path)
        assert value in shape.enum or not shape.enum, f"{path}: {value}"
        pattern = shape.metadata.get("pattern")
        assert pattern is None or re.fullmatch(pattern, value), f"{path}: {value}"
    elif kind in ("integer", "float", "double", "long"):
        limit(shape, value, path)
    return value


def limit(shape: Any, size: float, path: str) -> None:
    told = shape.metadata
    assert told.get("min", size) <= size <= told.get("max", size), f"{path}: {size}"


def parsed(body: bytes, name: str = "Converse") -> Json:
    """A whole answer as botocore reads it."""
    parser: Any = botocore.parsers.create_parser("rest-json")
    response: Json = {"status_code": 200, "headers": {}, "body": body}
    return parser.parse(response, operation(name).output_shape)


def parsed_stream(stream: bytes) -> list[Json]:
    """The events of a stream as botocore reads them. Raises: botocore's `EventStreamError`."""

    class Raw:
        def stream(self) -> list[bytes]:
            return [stream]

    shape = operation("ConverseStream").output_shape.members["stream"]
    factory: Any = botocore.parsers.ResponseParserFactory()
    parser = factory.create_parser("rest-json")
    events: Any = botocore.eventstream.EventStream(
        Raw(), shape, parser._event_stream_parser, "ConverseStream"
    )
    return list(events)
