"""How each target is doing: breakers, accounts, replicas, as the gateways' boards say."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Json, Shape
from tidegate.policy.board import read_boards, shown

router = APIRouter()


class BoardsShown(Shape):
    """What the gateways of this machine know; each row names its gateway as `worker`."""

    gateways: list[Json]
    targets: list[Json]
    """With their breakers."""
    parts: list[Json]
    """Accounts and replicas."""
    lanes: list[Json]
    """Turns at each target: how many run, how many wait, how many it bears."""


@router.get("/targets")
def list_targets(desk: Annotated[Desk, looking("state:read")]) -> BoardsShown:
    """Each target's breaker, failures, load and speed."""
    return BoardsShown.model_validate(shown(read_boards(desk.settings.boards), desk.now_ns()))
