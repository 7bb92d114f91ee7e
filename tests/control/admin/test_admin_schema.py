"""The API does what its OpenAPI document says, whatever it is asked (Schemathesis)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from admin_serving import Client, Served, serving
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS  # pyright: ignore[reportUnknownVariableType]

from tidegate.control.admin.app import _app

schemathesis.openapi.format("timezone", st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]))


def without_tokens() -> dict[str, Any]:
    """The document without its word on tokens, which every request here brings."""
    document = deepcopy(_app().openapi())
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security")
    return document


schema = schemathesis.openapi.from_dict(without_tokens())


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("schema")
    with serving(f"sqlite:///{directory}/tidegate.db", directory / "beside") as served:
        _fill(served)
        yield served


def _fill(served: Served) -> None:
    for path, names in (("/organisations", "o"), ("/teams", "t"), ("/users", "u"), ("/keys", "k")):
        served.owner.ok("POST", path, {"name": names})


@schema.parametrize()  # pyright: ignore[reportUntypedFunctionDecorator]
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
)
def test_every_operation_does_what_the_document_says(case: Any, owned: Served) -> None:
    owned.clock.turn(90_000)  # neither failures nor idempotency keys of other cases count
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{owned.port}",
        headers={"authorization": f"Bearer {owned.owner.token}"},
        timeout=60,
        checks=CHECKS.get_all(),
    )


@pytest.mark.parametrize("path", _app().openapi()["paths"])
def test_no_operation_is_open_to_whoever_has_no_token(path: str, owned: Served) -> None:
    owned.clock.turn(61)
    nobody = Client(owned.port, None)
    for method in _app().openapi()["paths"][path]:
        answered = nobody(method.upper(), path.removeprefix("/admin/v1"))
        assert answered.status == 401, (method, path)
