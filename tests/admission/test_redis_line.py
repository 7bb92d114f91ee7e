"""One connection to Redis: how it is opened, and what becomes of each question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
import uvloop
from redis_server import QUOTED, client, redis_server, until, url
from servers import free_port

from tidegate.admission.redis_address import Address
from tidegate.admission.redis_line import MOST_UNANSWERED, Line, LineBroken, dial
from tidegate.admission.redis_words import Complaint, NotRedis, command


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


class Asked:
    """A question, and all that it was told."""

    def __init__(self, *parts: bytes, deadline_s: float = float("inf")) -> None:
        self.command = command(*parts)
        self.deadline_s = deadline_s
        self.done = False
        self.told: list[object] = []

    def answered(self, answer: object) -> None:
        self.told.append(answer)

    def overdue(self) -> None:
        self.told.append("overdue")

    def broken(self, why: str) -> None:
        self.told.append(LineBroken(why))


class Ear(asyncio.Protocol):
    """Keeps what comes, piece by piece as it comes, and gives each piece the same answer."""

    def __init__(self, answer: bytes) -> None:
        self.chunks: list[bytes] = []
        self._answer = answer
        self.transports: list[asyncio.Transport] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self.transports[-1].write(self._answer)


@asynccontextmanager
async def listening(answer: bytes = b"") -> AsyncGenerator[tuple[Ear, Address]]:
    ear = Ear(answer)
    server = await asyncio.get_running_loop().create_server(lambda: ear, "127.0.0.1", 0)
    try:
        yield ear, Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        for transport in ear.transports:
            transport.abort()
        server.close()
        await asyncio.sleep(0)


@pytest.fixture
async def line(port: int) -> AsyncIterator[Line]:
    line = await dial(Address.of(url(port)), ())
    yield line
    line.close()


async def test_answers_are_matched_in_their_order(line: Line) -> None:
    asked = [Asked(b"ECHO", b"%d" % number) for number in range(500)]
    complains = Asked(b"NOSUCH")
    for question in asked[:250]:
        line.ask(question)
    line.ask(complains)
    for question in asked[250:]:
        line.ask(question)
    await until(lambda: asked[-1].done)
    assert [question.told for question in asked] == [[b"%d" % number] for number in range(500)]
    assert isinstance(complains.told[0], Complaint)


async def test_questions_of_one_turn_leave_in_one_write() -> None:
    async with listening() as (ear, address):
        line = await dial(address, ())
        questions = [Asked(b"ECHO", b"%d" % number) for number in range(20)]
        for question in questions:
            line.ask(question)
        await until(lambda: bool(ear.chunks))
        assert ear.chunks == [b"".join(question.command for question in questions)]
        line.close()


async def test_question_that_is_overdue_is_still_answered(port: int, line: Line) -> None:
    with client(port) as asking:
        asking.execute_command("CLIENT", "PAUSE", "1000", "ALL")
    now_s = asyncio.get_running_loop().time()
    first = Asked(b"ECHO", b"one", deadline_s=now_s + 0.05)
    second = Asked(b"ECHO", b"two", deadline_s=now_s + 60)
    line.ask(first)
    line.ask(second)
    await until(lambda: second.done)
    assert first.told == ["overdue", b"one"]
    assert second.told == [b"two"]


async def test_everybody_is_told_once_that_the_line_broke(port: int, line: Line) -> None:
    asked = [Asked(b"BLPOP", b"nothing", b"0"), Asked(b"PING")]
    for question in asked:
        line.ask(question)
    await asyncio.sleep(0)
    with client(port) as asking:
        asking.execute_command("CLIENT", "KILL", "TYPE", "normal")
    await line.ended
    assert [len(question.told) for question in asked] == [1, 1]
    assert all(isinstance(question.told[0], LineBroken) for question in asked)
    with pytest.raises(LineBroken):
        line.ask(Asked(b"PING"))


async def test_no_more_than_so_many_questions_wait() -> None:
    async with listening() as (_, address):
        line = await dial(address, ())
        for _ in range(MOST_UNANSWERED):
            line.ask(Asked(b"PING"))
        with pytest.raises(LineBroken):
            line.ask(Asked(b"PING"))
        line.close()


async def test_who_speaks_otherwise_is_not_listened_to() -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (_, address):
        line = await dial(address, ())
        with pytest.raises(LineBroken, match="does not speak as Redis does"):
            await line.call(b"PING", timeout_s=20)


async def test_who_cannot_understand_the_answer_is_told_that_there_is_none() -> None:
    class Puzzled(Asked):
        def answered(self, answer: object) -> None:
            raise NotRedis(f"{answer!r} is no answer")

    async with listening(b":7\r\n") as (_, address):
        line = await dial(address, ())
        asked = [Puzzled(b"EVAL"), Asked(b"PING")]
        for question in asked:
            line.ask(question)
        assert "7 is no answer" in await line.ended
    assert [len(question.told) for question in asked] == [1, 1]
    assert all(isinstance(question.told[0], LineBroken) for question in asked)


async def test_answer_to_nothing_breaks_the_line() -> None:
    async with listening(b"+OK\r\n+OK\r\n") as (_, address):
        line = await dial(address, ())
        assert await line.call(b"PING", timeout_s=20) == b"OK"
        assert "an answer to nothing" in await line.ended


async def test_database_and_user_are_entered(port: int) -> None:
    with client(port) as asking:
        asking.execute_command("ACL", "SETUSER", "me", "on", ">my word", "~*", "+@all")
    line = await dial(Address.of(f"redis://me:my%20word@127.0.0.1:{port}/7"), ())
    await line.call(b"SET", b"here", b"1", timeout_s=20)
    assert await line.call(b"ACL", b"WHOAMI", timeout_s=20) == b"me"
    line.close()
    with client(port, db=7) as asking:
        assert asking.get("here") == b"1"


async def test_unix_socket_is_entered(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with redis_server(tmp_path, None, "--unixsocket", str(path)):
        line = await dial(Address.of(f"unix://:{QUOTED}@{path}?db=2"), ())
        assert await line.call(b"PING", timeout_s=20) == b"PONG"
        line.close()


@pytest.mark.parametrize("policy", [asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def test_certificate_is_verified(
    tmp_path: Path, policy: type[asyncio.DefaultEventLoopPolicy]
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    tls_port = free_port()
    tls = (
        "--tls-port", str(tls_port), "--tls-cert-file", str(tmp_path / "own.pem"),
        "--tls-key-file", str(tmp_path / "own.pem"), "--tls-auth-clients", "no",
        "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
    )  # fmt: skip

    async def entered() -> None:
        where = f"rediss://:{QUOTED}@127.0.0.1:{tls_port}"
        line = await dial(Address.of(f"{where}?ssl_ca_certs={tmp_path / 'ca.pem'}"), ())
        assert await line.call(b"PING", timeout_s=20) == b"PONG"
        line.close()
        await asyncio.sleep(0)
        with pytest.raises(LineBroken, match=r"(?i)certificate"):
            await dial(Address.of(where), ())

    with (
        redis_server(tmp_path, None, *tls),
        asyncio.Runner(loop_factory=policy().new_event_loop) as runner,
    ):
        runner.run(entered())


async def test_what_does_not_answer_is_no_line() -> None:
    async with listening() as (_, address):
        with pytest.raises(LineBroken, match="did not let us in"):
            await dial(address, (b"return 1",), timeout_s=0.1)
    with pytest.raises(LineBroken):
        await dial(Address("127.0.0.1", free_port()), ())


async def test_file_of_the_authority_that_is_missing_is_told(tmp_path: Path) -> None:
    address = Address("127.0.0.1", free_port(), tls=True, ca=tmp_path / "none.pem")
    with pytest.raises(LineBroken, match="No such file"):
        await dial(address, ())
