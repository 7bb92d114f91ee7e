"""One connection to Redis, on which questions follow each other without waiting for answers.

Questions of one turn of the event loop leave in one write, and answers are matched in their order.
Each question is told what became of it: `answered`, or `broken` with the line; and before that, if
its time is up, `overdue`. It is still answered afterwards, because a script that ran late has run.

Why our own: an awaited command of redis-py takes the event loop far longer than its script takes
Redis (`python -m bench.admission_shared --driver` measures both), it turns a timeout into a closed
connection, and what was asked before that is never heard of again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol, cast

from tidegate.admission.redis_address import Address
from tidegate.admission.redis_words import Complaint, NotRedis, Reader, command
from tidegate.redact import redact

MOST_UNANSWERED = 8_192
CONNECT_S = 2.0
_REASON_CHARACTERS = 200


class LineBroken(Exception):
    """There is no line, or none any more. The message is fit for a log."""


class Question(Protocol):
    """What is asked, and who is told."""

    command: bytes
    deadline_s: float
    """On the event loop's clock; infinite for who looks at the clock itself."""
    done: bool
    """Set by the line when nothing more will be told."""

    def answered(self, answer: object) -> None:
        """Redis has answered: bytes, int, list, None or a `Complaint`."""
        ...

    def overdue(self) -> None:
        """The time is up; the answer may still come."""
        ...

    def broken(self, why: str) -> None:
        """No answer will come, and nobody knows whether it was heard."""
        ...


class Line(asyncio.Protocol):
    """An open line; made by `dial`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._unanswered: deque[Question] = deque()
        self._watched = deque[Question]()
        """In the order of their deadlines, as far as those are alike."""
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = loop.time()
        self.ended: asyncio.Future[str] = loop.create_future()
        """Done when the line is broken, with the reason."""

    def silent_s(self) -> float:
        """For how long nothing has come though something was asked."""
        return self._loop.time() - self._heard_s if self._unanswered else 0.0

    def ask(self, question: Question) -> None:
        """Ask with everything else that is asked in this turn. Raises: `LineBroken`."""
        if self.ended.done():
            raise LineBroken(self.ended.result())
        if len(self._unanswered) >= MOST_UNANSWERED:
            raise LineBroken(f"{MOST_UNANSWERED} questions are unanswered")
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(question.command)
        if not self._unanswered:
            self._heard_s = self._loop.time()
        self._unanswered.append(question)
        if question.deadline_s < math.inf:
            self._watched.append(question)
            if self._timer is None:
                self._timer = self._loop.call_at(question.deadline_s, self._look)

    async def call(self, *parts: bytes, timeout_s: float) -> object:
        """Ask one thing and wait for the answer. Raises: `LineBroken`, also for a complaint."""
        call = _Call(command(*parts))
        self.ask(call)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await call.future
        except TimeoutError:
            raise LineBroken(f"it did not answer within {timeout_s * 1000:.0f} ms") from None
        _unless_complaint(answer)
        return answer

    def close(self, why: str = "it was closed") -> None:
        """Break the line."""
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's TLS has a class apart

    def data_received(self, data: bytes) -> None:
        """Tell each question its answer."""
        self._heard_s = self._loop.time()
        try:
            for answer in self._reader.feed(data):
                if not self._unanswered:
                    raise NotRedis("an answer to nothing")  # noqa: TRY301
                question = self._unanswered.popleft()
                question.done = True
                try:
                    question.answered(answer)
                except NotRedis as error:  # it is not among those that the line tells any more
                    question.broken(_short(str(error)))
                    raise
        except NotRedis as error:
            self.close(f"it does not speak as Redis does: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody."""
        self._end(_short(str(exc)) if exc and str(exc) else "it closed the connection")

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self.ended.done():
            self._transport.write(b"".join(unsent))

    def _look(self) -> None:
        """Tell those whose time is up, and come again when the next one's is."""
        self._timer = None
        now_s = self._loop.time()
        watched = self._watched
        while watched and (watched[0].done or watched[0].deadline_s <= now_s):
            question = watched.popleft()
            if not question.done:
                question.overdue()
        if watched:
            self._timer = self._loop.call_at(watched[0].deadline_s, self._look)

    def _end(self, why: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(why)
        if self._timer is not None:
            self._timer.cancel()
        unanswered = tuple(self._unanswered)
        self._unanswered.clear()
        self._watched.clear()
        self._unsent.clear()
        for question in unanswered:
            question.done = True
            question.broken(why)


async def dial(address: Address, scripts: Sequence[bytes], timeout_s: float = CONNECT_S) -> Line:
    """A line to `address` that has been let in and knows `scripts`. Raises: `LineBroken`."""
    loop = asyncio.get_running_loop()
    line = Line(loop)
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(address, line)
            calls = [_Call(words) for words in _greeting(address, scripts)]
            for call in calls:
                line.ask(call)
            for call in calls:
                _unless_complaint(await call.future)
    except TimeoutError:
        line.close()
        raise LineBroken(f"it did not let us in within {timeout_s * 1000:.0f} ms") from None
    except OSError as error:
        line.close()
        raise LineBroken(_short(str(error) or type(error).__name__)) from error
    except BaseException:
        line.close()
        raise
    return line


async def _connect(address: Address, line: Line) -> None:
    loop, tls = asyncio.get_running_loop(), address.tls_context()
    if address.path is not None:
        await loop.create_unix_connection(lambda: line, address.path)
    else:
        await loop.create_connection(lambda: line, address.host, address.port, ssl=tls)


def _greeting(address: Address, scripts: Sequence[bytes]) -> list[bytes]:
    said = list[bytes]()
    if address.password is not None:
        user = [address.user.encode()] if address.user else []
        said.append(command(b"AUTH", *user, address.password.encode()))
    if address.db:
        said.append(command(b"SELECT", b"%d" % address.db))
    said += [command(b"SCRIPT", b"LOAD", script) for script in scripts]
    return said


class _Call:
    """A question that somebody awaits."""

    def __init__(self, words: bytes) -> None:
        self.command = words
        self.deadline_s = math.inf
        self.done = False
        self.future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def answered(self, answer: object) -> None:
        if not self.future.done():
            self.future.set_result(answer)

    def overdue(self) -> None:
        pass

    def broken(self, why: str) -> None:
        if not self.future.done():
            self.future.set_exception(LineBroken(why))


def _unless_complaint(answer: object) -> None:
    if isinstance(answer, Complaint):
        raise LineBroken(_short(str(answer)))


def _short(reason: str) -> str:
    return redact(reason)[:_REASON_CHARACTERS]
