"""The page about the admin API says what the code does."""

from pathlib import Path

import pytest

from tidegate.control.admin import problems
from tidegate.control.admin.roles import PERMISSIONS, ROLES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "admin-api.md"
PROBLEMS = [
    each
    for each in vars(problems).values()
    if isinstance(each, type) and issubclass(each, problems.Problem)
]


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_table_of_roles_is_that_of_the_code(permission: str) -> None:
    having = PERMISSIONS[permission]  # pyright: ignore[reportArgumentType]
    cells = " | ".join("yes" if role in having else "" for role in ROLES)
    assert f"| `{permission}` | {cells} |" in PAGE.read_text()


def test_every_code_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert [each.code for each in PROBLEMS if f"`{each.code}`" not in text] == []
