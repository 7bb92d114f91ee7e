"""What the console tells instead of a page."""

from __future__ import annotations

from typing import Any

from tidegate.control.admin.problems import Problem


class Refusal(Exception):
    """Something that cannot be shown or done: what, and what to do next."""

    def __init__(self, status: int, message: str, remedy: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.remedy = remedy
        self.param = param

    @classmethod
    def of(cls, problem: Problem) -> Refusal:
        """What the admin API refuses."""
        return cls(problem.status, problem.message, problem.remedy, problem.param)

    @classmethod
    def told(cls, status: int, answer: Any) -> Refusal:
        """What the admin API answered."""
        error = answer["error"]
        return cls(status, error["message"], error["remedy"], error["param"])


def missing() -> Refusal:
    """There is no such page, or nothing of that name on it."""
    return Refusal(404, "There is nothing here.", "Look at the pages that there are.")


def not_allowed(role: str) -> Refusal:
    """The role may not do it."""
    return Refusal(
        403, f"The role `{role}` may not do this.", "Sign in with a token of another role."
    )
