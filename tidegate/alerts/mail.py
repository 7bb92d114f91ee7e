"""Messages as e-mail, by SMTP; a thread waits for the server, for half a minute at most."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final, Literal

from msgspec import Struct

from tidegate.alerts.notices import Notice, text
from tidegate.alerts.sinks import NotDelivered
from tidegate.errors import UpstreamForbiddenAddress
from tidegate.net.http import verified_tls
from tidegate.net.urls import check_address

Security = Literal["starttls", "tls", "none"]
_WAIT_S: Final = 10.0
_FOR_EVER: Final = range(500, 600)


class Mailbox(Struct, frozen=True):
    """Where mail is handed in, and for whom."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: Security = "starttls"
    user: str | None = None
    password: str | None = None
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"Mailbox({self.host}:{self.port})"


class Mail:
    """A sink."""

    def __init__(self, box: Mailbox, tls: Callable[[], ssl.SSLContext] = verified_tls) -> None:
        self._box = box
        self._tls = tls

    async def send(self, notice: Notice) -> None:
        """Deliver it. Raises: `NotDelivered`."""
        await asyncio.to_thread(self._hand_in, self._message(notice))

    async def close(self) -> None:
        """Nothing is kept open."""

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"Tidegate: {notice.title}"
        message["From"] = self._box.sender
        message["To"] = ", ".join(self._box.recipients)
        message["Date"] = format_datetime(datetime.fromtimestamp(notice.at_ns // 10**9, UTC))
        # The same whenever it is sent again: mailboxes know a repetition by it.
        domain = self._box.sender.rpartition("@")[2].rstrip(">") or "localhost"
        message["Message-ID"] = f"<{notice.id}.tidegate@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text(notice))
        return message

    def _hand_in(self, message: EmailMessage) -> None:
        box = self._box
        try:
            with self._connected() as server:
                if box.security == "starttls":
                    server.starttls(context=self._tls())
                if box.user is not None:
                    server.login(box.user, box.password or "")
                server.send_message(message, box.sender, box.recipients)
        except UpstreamForbiddenAddress as error:
            raise NotDelivered(error.message.replace("upstream", "mail server")) from error
        except smtplib.SMTPResponseException as error:
            hopeless = error.smtp_code in _FOR_EVER
            raise NotDelivered(
                f"the mail server answered {error.smtp_code}", hopeless=hopeless
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            hopeless = all(code in _FOR_EVER for code in codes)
            raise NotDelivered(f"the recipients are refused: {codes}", hopeless=hopeless) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(f"the mail server cannot be used: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        box = self._box
        made: Any = _Guarded if box.security != "tls" else _GuardedTls
        server = made(box, self._tls() if box.security == "tls" else None)
        try:
            server.connect(box.host, box.port)
        except BaseException:
            server.close()
            raise
        return server


def _dial(box: Mailbox) -> socket.socket:
    # Only to an address that was checked.
    found: Sequence[Any] = socket.getaddrinfo(box.host, box.port, type=socket.SOCK_STREAM)
    refused: Exception = OSError("its name has no address")
    for *_, address in found:
        try:
            check_address(str(address[0]), allow_private=box.allow_private)
            return socket.create_connection((str(address[0]), box.port), _WAIT_S)
        except (OSError, UpstreamForbiddenAddress) as error:
            refused = error
    raise refused


class _Guarded(smtplib.SMTP):
    def __init__(self, box: Mailbox, _tls: ssl.SSLContext | None) -> None:
        self._box = box
        super().__init__(timeout=_WAIT_S)
        self._host = box.host  # what its certificate must name

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        return _dial(self._box)


class _GuardedTls(smtplib.SMTP_SSL):
    def __init__(self, box: Mailbox, tls: ssl.SSLContext | None) -> None:
        self._box = box
        super().__init__(timeout=_WAIT_S, context=tls)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:  # noqa: ARG002
        return self.context.wrap_socket(_dial(self._box), server_hostname=self._box.host)
