"""A real mail server with as much of RFC 5321 as a sender needs."""

from __future__ import annotations

import queue
import socketserver
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Mail = tuple[str, list[str], str]
"""From, to, text."""


@dataclass
class MailServer:
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    """Whether all is encrypted from the first byte on."""
    refusal: str | None = None
    """What is answered to each recipient, if they are refused."""
    port: int = 0
    mails: queue.Queue[Mail] = field(default_factory=queue.Queue[Mail])
    said: list[str] = field(default_factory=list[str])
    """The verbs of all sessions."""


class _Session:
    def __init__(self, server: MailServer, sock: Any) -> None:
        self.server = server
        self.sock = sock
        self.file = sock.makefile("rwb")
        self.sender, self.to = "", list[str]()

    def serve(self) -> None:
        self.say("220 here")
        while line := self.hear():
            verb = line[:4].upper()
            self.server.said.append(verb)
            answer = getattr(self, f"on_{verb.lower()}", self.on_other)
            answer(line.partition(":")[2])

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def hear(self) -> str:
        return self.file.readline().decode().rstrip("\r\n")

    def say(self, *lines: str) -> None:
        self.file.write("".join(f"{line}\r\n" for line in lines).encode())
        self.file.flush()

    def on_ehlo(self, _: str) -> None:
        offers = [] if self.server.tls is None or self.server.implicit else ["250-STARTTLS"]
        self.say("250-here", *offers, "250 AUTH PLAIN")

    def on_star(self, _: str) -> None:
        self.say("220 go")
        assert self.server.tls is not None
        self.file.close()
        self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        self.file = self.sock.makefile("rwb")

    def on_auth(self, _: str) -> None:
        self.say("235 welcome")

    def on_mail(self, said: str) -> None:
        self.sender = said
        self.say("250 ok")

    def on_rcpt(self, said: str) -> None:
        self.to.append(said)
        self.say(self.server.refusal or "250 ok")

    def on_data(self, _: str) -> None:
        self.say("354 go on")
        lines = list[str]()
        while (line := self.hear()) != ".":
            lines.append(line)
        self.server.mails.put((self.sender, self.to, "\n".join(lines)))
        self.say("250 taken")

    def on_quit(self, _: str) -> None:
        self.say("221 bye")

    def on_other(self, _: str) -> None:
        self.say("250 ok")


@contextmanager
def mailing(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, refusal: str | None = None
) -> Generator[MailServer]:
    mail = MailServer(tls, implicit, refusal)

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            sock: Any = self.request
            if mail.implicit and mail.tls is not None:
                sock = mail.tls.wrap_socket(sock, server_side=True)
            session = _Session(mail, sock)
            try:
                session.serve()
            except (OSError, ValueError):  # the other end has gone
                pass
            finally:
                session.close()

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Talk) as server:
        mail.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield mail
        finally:
            server.shutdown()
