"""Who may do what: the one table of permissions.

`owner` may do everything. `admin` runs the place, but makes no tokens. `viewer` only looks.
`service` is a machine that gives out keys and sets limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

Role = Literal["owner", "admin", "viewer", "service"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

Permission = Literal[
    "keys:read", "keys:write",
    "people:read", "people:write", "people:erase",
    "limits:read", "limits:write",
    "prices:read", "prices:write",
    "spend:read",
    "state:read",
    "requests:read", "content:read",
    "feedback:read",
    "alerts:write",
    "audit:read", "audit:write",
    "configurations:read", "configurations:write",
    "tokens:read", "tokens:write",
]  # fmt: skip

_ALL: Final = frozenset[Role](ROLES)
_PEOPLE: Final = frozenset[Role]({"owner", "admin", "viewer"})
_RUNS: Final = frozenset[Role]({"owner", "admin"})
_MACHINES_TOO: Final = _RUNS | frozenset[Role]({"service"})
_OWNER: Final = frozenset[Role]({"owner"})

PERMISSIONS: Final[Mapping[Permission, frozenset[Role]]] = {
    "keys:read": _ALL,
    "keys:write": _MACHINES_TOO,
    "people:read": _ALL,
    "people:write": _RUNS,
    "people:erase": _RUNS,
    "limits:read": _ALL,
    "limits:write": _MACHINES_TOO,
    "prices:read": _ALL,
    "prices:write": _RUNS,
    "spend:read": _ALL,
    "state:read": _ALL,
    "requests:read": _PEOPLE,
    "content:read": _RUNS,
    "feedback:read": _PEOPLE,
    "alerts:write": _RUNS,
    "audit:read": _PEOPLE,
    "audit:write": _OWNER,
    "configurations:read": _PEOPLE,
    "configurations:write": _RUNS,
    "tokens:read": _RUNS,
    "tokens:write": _OWNER,
}
"""`people` are users, teams and organisations; `state` is that of targets and aliases.

`requests` are their records one by one, `content` is what was asked and answered: the console shows
them. Feedback is in people's own words, which no machine has to read."""


def may(role: Role, permission: Permission) -> bool:
    """Whether `role` has `permission`."""
    return role in PERMISSIONS[permission]
