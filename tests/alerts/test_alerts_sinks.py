"""Messages as they arrive at real receivers, and what is said where they do not."""

from __future__ import annotations

import email
import email.policy
import hmac
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
import trustme
from mail_server import mailing
from receivers import receiving

from tidegate.alerts.machine import Alert, Terms
from tidegate.alerts.mail import Mail, Mailbox
from tidegate.alerts.notices import Notice, notices
from tidegate.alerts.settings import AlertSettings, Receiver, open_sinks
from tidegate.alerts.sinks import NotDelivered, Sink
from tidegate.net.dns import Resolver

S = 10**9
AT_NS = 1_790_000_000 * S
LINK = "https://tidegate.example/console/requests?alias=fast&from=1"


def alert(name: str = "1", **fields: Any) -> Alert:
    usually: dict[str, Any] = {
        "id": name, "status": "firing", "rule": "errors", "severity": "page",
        "summary": "fast: 12.0% of requests failed.", "todo": "Look: tidegate targets.",
        "labels": {"alias": "fast"}, "value": 0.12, "threshold": 0.01, "since_ns": AT_NS - 9 * S,
        "at_ns": AT_NS, "runbook": "https://wiki.example/errors.md", "link": LINK,
    }  # fmt: skip
    return Alert(**{**usually, **fields})


def a_notice(**fields: Any) -> Notice:
    (notice,) = notices([alert(**fields)])
    return notice


@asynccontextmanager
async def opened(receiver: Receiver | Mailbox) -> AsyncGenerator[Sink]:
    resolver = Resolver()
    settings = AlertSettings(sinks={"it": receiver}, terms=Terms(repeat_s=400.0))
    sink = open_sinks(settings, resolver, lambda: AT_NS)["it"]
    try:
        yield sink
    finally:
        await sink.close()
        await resolver.close()


async def send(receiver: Receiver | Mailbox, notice: Notice | None = None) -> None:
    async with opened(receiver) as sink:
        await sink.send(notice or a_notice())


async def test_webhook_tells_everything_and_is_signed() -> None:
    with receiving() as at:
        await send(Receiver("webhook", f"{at.url}/in?x=1", allow_private=True, secret="s3"))
        posted = at.next()
    assert posted.path == "/in?x=1"
    unix_s, _, signed = posted.headers["tidegate-signature"].partition(",v1=")
    expected = hmac.new(b"s3", unix_s.removeprefix("t=").encode() + b"." + posted.body, sha256)
    assert signed == expected.hexdigest()
    assert unix_s == "t=1790000000"
    assert posted.headers["tidegate-delivery"] == posted.told["id"]
    assert posted.told["title"] == "[Page] errors"
    assert posted.told["alerts"] == [
        {
            "id": "1", "status": "firing", "rule": "errors", "severity": "page",
            "summary": "fast: 12.0% of requests failed.", "labels": {"alias": "fast"},
            "what_to_do": "Look: tidegate targets.", "value": 0.12, "threshold": 0.01,
            "runbook": "https://wiki.example/errors.md", "console": LINK,
            "since": "2026-09-21T14:13:11Z", "at": "2026-09-21T14:13:20Z",
            "repeated": False, "silenced": False,
        }
    ]  # fmt: skip


async def test_webhook_without_a_secret_is_not_signed() -> None:
    with receiving() as at:
        await send(Receiver("webhook", at.url, allow_private=True, authorization="Basic x"))
        posted = at.next()
    assert "tidegate-signature" not in posted.headers
    assert posted.headers["authorization"] == "Basic x"


async def test_slack_is_told_in_words_that_mention_nobody() -> None:
    with receiving() as at:
        await send(
            Receiver("slack", f"{at.url}/services/T/B", allow_private=True),
            a_notice(summary="The user <!channel> & co spent $3."),
        )
        posted = at.next()
    assert posted.told["text"] == (
        "*[Page] errors*\n• The user &lt;!channel&gt; &amp; co spent $3.\n"
        "   Look: tidegate targets.\n   Runbook: https://wiki.example/errors.md\n"
        "   <https://tidegate.example/console/requests?alias=fast&amp;from=1|Open in the console>"
    )


async def test_alertmanager_gets_alerts_that_outlast_their_repetition() -> None:
    with receiving() as at:
        receiver = Receiver("alertmanager", f"{at.url}/api/v2/alerts", allow_private=True)
        await send(receiver)
        await send(receiver, a_notice(status="resolved"))
        firing, resolved = at.next(), at.next()
    assert firing.path == "/api/v2/alerts"
    (told,) = firing.told
    assert told["labels"] == {"alertname": "Tidegate_errors", "alias": "fast", "severity": "page"}
    assert (told["startsAt"], told["endsAt"]) == ("2026-09-21T14:13:11Z", "2026-09-21T14:21:40Z")
    assert told["generatorURL"] == LINK
    assert told["annotations"]["runbook_url"] == "https://wiki.example/errors.md"
    assert resolved.told[0]["endsAt"] == resolved.told[0]["startsAt"]  # not before it


@pytest.mark.parametrize(
    ("status", "hopeless"), [(500, False), (429, False), (404, True), (302, True)]
)
async def test_answer_that_is_not_good_is_told(status: int, hopeless: bool) -> None:
    with receiving([status]) as at, pytest.raises(NotDelivered, match=f" {status}") as told:
        await send(Receiver("webhook", f"{at.url}/secret", allow_private=True))
    assert told.value.hopeless is hopeless
    assert "secret" not in str(told.value)


async def test_private_address_is_refused_unless_it_is_meant() -> None:
    with receiving() as at:
        with pytest.raises(NotDelivered, match="a loopback address, which is refused"):
            await send(Receiver("slack", at.url))
        assert at.posted.empty()
    with mailing() as server:
        with pytest.raises(NotDelivered, match="a loopback address"):
            await send(box(server.port, allow_private=False))
        assert server.said == []


async def test_nobody_there_is_told() -> None:
    with receiving() as at:
        url = at.url
    with pytest.raises(NotDelivered, match="The receiver does not accept connections"):
        await send(Receiver("webhook", url, allow_private=True))


def box(port: int, **fields: Any) -> Mailbox:
    usually: dict[str, Any] = {
        "host": "127.0.0.1", "port": port, "sender": "Tidegate <tidegate@example.com>",
        "recipients": ("a@example.com", "b@example.com"), "security": "none", "allow_private": True,
    }  # fmt: skip
    return Mailbox(**{**usually, **fields})


async def test_mail_arrives_as_plain_text() -> None:
    with mailing() as server:
        await send(box(server.port))
        sender, to, text = server.mails.get(timeout=60)
    assert "tidegate@example.com" in sender
    assert to == ["<a@example.com>", "<b@example.com>"]
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["subject"] == "Tidegate: [Page] errors"
    assert mail["message-id"] == f"<{a_notice().id}.tidegate@example.com>"
    assert "fast: 12.0% of requests failed." in mail.get_content()
    assert "https://wiki.example/errors.md" in mail.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_is_encrypted_and_the_server_signed_in_to(security: Any) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    with mailing(theirs, implicit=security == "tls") as server:
        mailbox = box(server.port, security=security, user="me", password="pass")
        await Mail(mailbox, lambda: ours).send(a_notice())
        server.mails.get(timeout=60)
    assert "AUTH" in server.said
    assert ("STAR" in server.said) == (security == "starttls")


async def test_mail_server_of_unknown_authority_gets_nothing() -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(theirs)
    with mailing(theirs) as server:
        with pytest.raises(NotDelivered, match="certificate"):
            await send(box(server.port, security="starttls", user="me", password="pass"))
        assert server.mails.empty()
    assert "AUTH" not in server.said


async def test_mail_server_without_encryption_gets_nothing_where_it_is_wanted() -> None:
    with mailing() as server, pytest.raises(NotDelivered, match="STARTTLS"):
        await send(box(server.port, security="starttls", user="me", password="pass"))
    assert "AUTH" not in server.said


@pytest.mark.parametrize(
    ("answer", "hopeless"), [("450 later", False), ("550 no such mailbox", True)]
)
async def test_refused_recipients_are_told(answer: str, hopeless: bool) -> None:
    with mailing(refusal=answer) as server, pytest.raises(NotDelivered) as told:
        await send(box(server.port))
    assert told.value.hopeless is hopeless


def test_settings_do_not_show_secrets() -> None:
    settings = AlertSettings(
        sinks={
            "a": Receiver("webhook", "https://h.example/hook-secret", secret="hmac-secret"),
            "b": box(25, password="pass-secret"),
        }
    )
    assert "-secret" not in repr(settings)
