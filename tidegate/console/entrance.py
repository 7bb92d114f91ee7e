"""The way in and out: an admin token becomes a session, and a session a caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread

from tidegate.console.origins import Origins
from tidegate.console.page import ROOT
from tidegate.console.refusals import Refusal
from tidegate.console.sessions import Session, Sessions
from tidegate.console.wire import TEXT, Reply, Sent, went
from tidegate.control.admin.problems import Problem
from tidegate.control.admin.signin import Caller, SignIn, digest_of

SIGN_IN: Final = f"{ROOT}/sign-in"
SIGN_OUT: Final = f"{ROOT}/sign-out"
COOKIE: Final = "tidegate_console"
_FORM_COOKIE: Final = "tidegate_console_form"
_MOST_CHARACTERS: Final = 2_000

Alone = Callable[[int, str, Mapping[str, Any]], Reply]
"""A page without a frame: status, template, and what it is told."""
_T = TypeVar("_T")


class Entrance:
    """Who is inside, and how one gets there."""

    def __init__(self, sign_in: SignIn, origins: Origins, sessions: Sessions, alone: Alone) -> None:
        self._sign_in = sign_in
        self._origins = origins
        self._alone = alone
        self._sessions = sessions
        self._limiter = CapacityLimiter(2)
        """Looks for tokens have threads of their own: slow pages do not keep people out."""

    async def who(self, sent: Sent) -> tuple[Session, Caller] | None:
        """Whose request it is; None if nobody's who is signed in. Raises: `SQLAlchemyError`."""
        word = sent.cookie(COOKIE)
        session = self._sessions.find(word, used=not sent.fragment) if word else None
        if session is None:
            return None
        caller = await self._run(lambda: self._sign_in.again(session.token))
        if caller is None:  # its token was deleted, or is over
            self._sessions.end(word)
            return None
        return session, caller

    def stranger(self, sent: Sent) -> Reply:
        """What is answered to somebody who is not signed in."""
        if sent.fragment:
            return Reply(401, TEXT, b"signed out\n")
        if not sent.reads:
            return went(f"{SIGN_IN}?{urlencode({'next': place(sent.path), 'undone': '1'})}")
        if sent.header(b"sec-fetch-site") == "cross-site":
            # A link from elsewhere comes without the cookie; the same link from here comes with it.
            return self._alone(200, "onward.html", {"to": sent.place})
        return went(f"{SIGN_IN}?{urlencode({'next': sent.place})}")

    async def sign_in(self, sent: Sent) -> Reply:
        """Show the form, or take it. Raises: `Problem`, `Refusal`, `SQLAlchemyError`."""
        if sent.reads:
            return self._way_in(sent, sent.query)
        form = await sent.form()
        if not self._is_ours(sent) or not _same(form.get("csrf"), sent.cookie(_FORM_COOKIE)):
            return self._way_in(sent, form, FOREIGN)
        token = form.get("token", "").strip().encode()
        try:
            await self._run(lambda: self._sign_in.caller(b"Bearer " + token, sent.address))
        except Problem as problem:
            return self._way_in(sent, form, Refusal.of(problem))
        word = self._sessions.begin(digest_of(token))
        return went(place(form.get("next", "")), (self._cookie(sent, COOKIE, word),))

    async def sign_out(self, sent: Sent, session: Session) -> Reply:
        """End the session. Raises: `Problem`, `Refusal`."""
        await self.form(sent, session)
        self._sessions.end(sent.cookie(COOKIE))
        return went(SIGN_IN, (self._cookie(sent, COOKIE, "") + "; Max-Age=0",))

    async def form(self, sent: Sent, session: Session) -> dict[str, str]:
        """The fields of a form that a page of this session sent. Raises: `Problem`, `Refusal`."""
        form = {} if sent.reads else await sent.form()
        if not self._is_ours(sent) or not _same(form.get("csrf"), session.csrf):
            raise FOREIGN
        return form

    def _way_in(self, sent: Sent, said: Mapping[str, str], refusal: Refusal | None = None) -> Reply:
        word = token_urlsafe(18)
        told = {
            "csrf": word,
            "next": place(said.get("next", "")),
            "undone": "undone" in said,
            "refusal": refusal,
        }
        reply = self._alone(200 if refusal is None else refusal.status, "sign-in.html", told)
        reply.cookies = (self._cookie(sent, _FORM_COOKIE, word),)
        return reply

    def _is_ours(self, sent: Sent) -> bool:
        return self._origins.sent(sent.header(b"origin").lower(), sent.host)

    def _cookie(self, sent: Sent, name: str, value: str) -> str:
        secure = "; Secure" if self._origins.is_secure(sent.host) else ""
        return f"{name}={value}; Path={ROOT}; HttpOnly; SameSite=Strict{secure}"

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=self._limiter)


FOREIGN: Final = Refusal(
    403, "This form did not come from a page of this session.", "Load the page again, then retry."
)


def place(to: str) -> str:
    """`to`, if it is a page of ours; else the first one."""
    inside = to.startswith(f"{ROOT}/") and not to.startswith((SIGN_IN, SIGN_OUT))
    harmless = to.isascii() and to.isprintable() and "\\" not in to and "//" not in to
    return to if inside and harmless and len(to) <= _MOST_CHARACTERS else f"{ROOT}/"


def _same(said: str | None, word: str) -> bool:
    return bool(word) and compare_digest((said or "").encode(), word.encode())
