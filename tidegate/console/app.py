"""The console as one ASGI application: who asks, whether they may, the page, the headers.

Nothing is shown to anybody who is not signed in but the way in and the styles. A form is taken only
from a page of ours, and with the word of its session. Every answer carries a policy under which a
browser runs no script and loads nothing that is not a file of this package.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from anyio import CapacityLimiter, from_thread, to_thread
from sqlalchemy.exc import SQLAlchemyError

from tidegate.console.entrance import SIGN_IN, SIGN_OUT, Entrance, place
from tidegate.console.files import Files
from tidegate.console.lasting import Lasting
from tidegate.console.origins import Origins
from tidegate.console.page import ROOT, Asked, Download, Page, View, Way, Went
from tidegate.console.pages import PAGES
from tidegate.console.refusals import Refusal, missing, not_allowed
from tidegate.console.rendering import Renderer
from tidegate.console.sessions import FILE, Flash, Session, Sessions
from tidegate.console.wire import HTML, TEXT, Reply, Sent, went
from tidegate.control.admin.gate import PREFIX, App, Message, Receive, Send, plain
from tidegate.control.admin.problems import Problem
from tidegate.control.admin.roles import may
from tidegate.control.admin.shapes import Json
from tidegate.control.admin.signin import Caller
from tidegate.control.back import Back

_THREADS: Final = 8
"""Pages that are made at a time: the loader wants some of the machine, too."""
_ERROR: Final = 400
_KEPT: Final = {"cache-control": "public, max-age=31536000, immutable"}

_log = logging.getLogger("tidegate.control")


def console(back: Back) -> App:
    """The console over the back of the house."""
    return _Console(back)


class _Console:
    def __init__(self, back: Back) -> None:
        self._back = back
        self._files = Files(ROOT)
        self._renderer = Renderer(self._files, PAGES)
        self._origins = Origins(back.settings.host, back.settings.address)
        sessions = Sessions(back.clock, back.settings.spool / FILE)
        self._entrance = Entrance(back.admin.sign_in, self._origins, sessions, self._alone)
        self._ways = [way for page in PAGES for way in page.ways]
        self._lasting = Lasting()
        self._limiter = CapacityLimiter(_THREADS)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; of `lifespan` only that it begins: everything is made ready."""
        if scope["type"] == "lifespan":
            await self._warm()
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        try:
            reply = await self._reply(Sent(scope, receive))
        except Refusal as refusal:
            reply = self._stopped(refusal)
        except Problem as problem:
            reply = self._stopped(Refusal.of(problem))
        except SQLAlchemyError as error:
            reply = self._stopped(_without_store(error))
        except Exception:  # noqa: BLE001  the root of a request: it is logged and answered
            _log.exception("a request to the console failed")
            reply = self._stopped(_BROKEN)
        await reply.send(send)

    async def _reply(self, sent: Sent) -> Reply:
        stray = self._stray(sent)
        if stray is not None:
            return stray
        if sent.path == SIGN_IN:
            return await self._entrance.sign_in(sent)
        found = await self._entrance.who(sent)
        if found is None:
            return self._entrance.stranger(sent)
        if sent.path == SIGN_OUT:
            return await self._entrance.sign_out(sent, found[0])
        return await self._page(sent, *found)

    def _stray(self, sent: Sent) -> Reply | None:
        """What is answered without asking who it is."""
        if sent.path in {"/", ROOT, f"{ROOT}/"} and sent.reads:
            return went(PAGES[0].path)
        if not sent.path.startswith(f"{ROOT}/"):
            return Reply(404, "application/json", b'{"error":"unknown path"}')
        if not self._origins.serves(sent.host):
            return Reply(421, TEXT, _ELSEWHERE)
        if not sent.reads and sent.method != "POST":
            return Reply(405, TEXT, b"GET or POST\n", {"allow": "GET, HEAD, POST"})
        return self._file(sent) if sent.path.startswith(f"{ROOT}/static/") else None

    def _file(self, sent: Sent) -> Reply:
        file = self._files.find(sent.path)
        if file is None or not sent.reads:
            return Reply(404, TEXT, b"There is no such file.\n")
        return Reply(200, *file, _KEPT)

    async def _page(self, sent: Sent, session: Session, caller: Caller) -> Reply:
        form = {} if sent.reads else await self._entrance.form(sent, session)
        way, names = self._way(sent)
        page = PAGES[0] if way is None else way.page
        asked = replace(
            self._asked(session, caller, page), path=sent.path, query=sent.query, names=names,
            form=form,
        )  # fmt: skip
        work = lambda: self._made(asked, way, fragment=sent.fragment)  # noqa: E731
        return await to_thread.run_sync(work, limiter=self._limiter)

    async def _warm(self) -> None:
        """Make every page once for nobody, so that nobody waits for what is made only once."""
        for way in (each for each in self._ways if each.pattern.match(each.page.path)):
            if way.method == "GET":
                asked = self._asked(Session("", 0.0, 0.0), _NOBODY, way.page)
                work = partial(self._made, asked, way, fragment=False)
                await to_thread.run_sync(work, limiter=self._limiter)

    def _asked(self, session: Session, caller: Caller, page: Page) -> Asked:
        def ask(
            method: str, path: str, query: Mapping[str, str], body: Json | None, once: str | None
        ) -> Json:
            work = partial(self._ask, caller, method, path, query, body, once=once)
            return from_thread.run(work)

        return Asked(
            back=self._back,
            caller=caller,
            session=session,
            page=page,
            path=page.path,
            query={},
            names={},
            form={},
            ask=ask,
            now_ns=self._back.clock.now_ns(),
            lasting=self._lasting,
        )

    def _way(self, sent: Sent) -> tuple[Way | None, dict[str, str]]:
        method = "GET" if sent.reads else "POST"
        for way in self._ways:
            if way.method == method and (match := way.pattern.match(sent.path)):
                return way, match.groupdict()
        return None, {}

    def _made(self, asked: Asked, way: Way | None, *, fragment: bool) -> Reply:
        try:
            if way is None:
                raise missing()
            if not may(asked.caller.role, way.needs):
                raise not_allowed(asked.caller.role)
            found = way.answer(asked)
            if isinstance(found, Went):
                return went(found.to)
            if isinstance(found, Download):
                kept = {"content-disposition": f'attachment; filename="{found.name}"'}
                return Reply(200, found.kind, found.body, kept)
            html = self._renderer.page(asked, found, fragment=fragment)
            return Reply(found.status, HTML, html.encode())
        except Problem as problem:
            return self._refused(asked, Refusal.of(problem))
        except Refusal as refusal:
            return self._refused(asked, refusal)
        except SQLAlchemyError as error:
            return self._refused(asked, _without_store(error))

    def _refused(self, asked: Asked, refusal: Refusal) -> Reply:
        back = asked.form.get("back")
        if back is not None:  # what was to be done was not: say so where the form was
            asked.session.flashes.append(Flash("bad", f"{refusal.message} {refusal.remedy}"))
            return went(place(back))
        view = View("refused.html", {"refusal": refusal}, "Not shown", refusal.status)
        html = self._renderer.page(asked, view, fragment=False)
        return Reply(refusal.status, HTML, html.encode())

    async def _ask(
        self,
        caller: Caller,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        *,
        once: str | None,
    ) -> Json:
        said = b"" if body is None else msgspec.json.encode(body)
        ask = self._back.admin.app.ask
        raw = urlencode(query).encode()
        status, answer = await ask(caller, method, f"{PREFIX}{path}", raw, said, once=once)
        told: Any = msgspec.json.decode(answer)
        if status >= _ERROR:
            raise Refusal.told(status, told)
        return told

    def _stopped(self, refusal: Refusal) -> Reply:
        return self._alone(refusal.status, "stopped.html", {"refusal": refusal})

    def _alone(self, status: int, template: str, told: Mapping[str, Any]) -> Reply:
        return Reply(status, HTML, self._renderer.alone(template, told).encode())


_NOBODY: Final = Caller("", "owner")
_BROKEN: Final = Refusal(
    500, "Something went wrong here.", "Look into the log of the control process."
)
_ELSEWHERE: Final = (
    b"The console does not answer under this host name. Use the machine's address or localhost, "
    b"or set `control.url` to where people reach it.\n"
)


def _without_store(error: SQLAlchemyError) -> Refusal:
    _log.error("the console cannot use the store: %s", plain(error))
    return Refusal(
        503, "The store cannot be used now.", "The log of the control process says what is wrong."
    )
