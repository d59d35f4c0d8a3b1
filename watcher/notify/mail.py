"""E-mail: the HTML and the text that were rendered, its chart enclosed, by SMTP step by step."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from apprise.plugins.email import NotifyEmail

from watcher.notify.formats import Preview, parse_json_object, plain_text
from watcher.notify.outcome import Outcome, Verdict, outcome_of_smtp
from watcher.notify.own_service import OwnService
from watcher.render.markup import CHART_ID, Markup, with_chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watcher.notify.own_service import OutgoingMessage

MAIL_TYPE = "message/rfc822"

# Whatever the server can do, no line of this is too long for it and no byte unknown.
_ENCODING = "quoted-printable"
_CHART: Mapping[str, Any] = {"maintype": "image", "subtype": "png", "filename": "prices.png"}


class Mail(OwnService, NotifyEmail):
    """Apprise's plugin, which knows the servers of many providers; the mail itself is ours."""

    def send(self, message: OutgoingMessage) -> Outcome:
        mail = self.mail(message).as_bytes()
        ((_, recipient),) = self.targets
        try:
            with self._connected() as server:
                server.ehlo_or_helo_if_needed()
                for code, _ in _replies(server, self.from_addr[1], recipient, mail):
                    if not _is_success(code):
                        return _refusal(code)
        except smtplib.SMTPResponseException as refused:
            return _refusal(refused.smtp_code)
        return Outcome(Verdict.ACCEPTED, "")

    def as_sent(self, message: OutgoingMessage) -> Preview:
        return Preview(self.mail(message).as_bytes(), MAIL_TYPE)

    def mail(self, message: OutgoingMessage) -> EmailMessage:
        """The whole mail. Sent again it has the same Message-ID, so that programs can drop one."""
        name, address = self.from_addr
        # Alert ids are short, and a program drops a mail whose id it has seen: the text is part.
        text = f"{message.alert_id}\n{message.title}\n{message.body}"
        digest = sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
        domain = address.rpartition("@")[2]
        headers = {
            **self.headers,
            "Subject": message.title,
            "From": formataddr((name or "", address)),
            "To": formataddr((self.targets[0][0] or "", self.targets[0][1])),
            "Date": format_datetime(datetime.now(UTC)),
            "Message-ID": f"<{message.alert_id}.{digest}@{domain}>",
            # Programs sort by it.
            "List-Id": f"Kie.ai prices <kie-watcher.{domain}>",
            "X-Alert-Id": message.alert_id,
            "Auto-Submitted": "auto-generated",
        }
        if self.reply_to:
            names = ((self.names.get(one) or "", one) for one in sorted(self.reply_to))
            headers["Reply-To"] = ", ".join(map(formataddr, names))
        mail = EmailMessage(policy=SMTP)
        for header, value in headers.items():
            # Whatever was there: a header is given once, and is one line.
            del mail[header]
            mail[header] = " ".join(value.split())
        self._fill(mail, message)
        return mail

    def _fill(self, mail: EmailMessage, message: OutgoingMessage) -> None:
        parts: dict[str, Any] = {}
        if message.markup is Markup.EMAIL:
            parts = parse_json_object(message.body)
        elif message.markup is Markup.HTML:
            parts = {"html": message.body}
        page = parts.get("html")
        text = parts.get("text") or plain_text(Markup.HTML, page or "") or message.plain(self)
        mail.set_content(_encodable(text), cte=_ENCODING)
        picture = message.picture
        shown = with_chart(page) if page and picture else page
        if shown:
            mail.add_alternative(_encodable(shown), subtype="html", cte=_ENCODING)
        if not picture:
            return
        if shown == page:
            mail.add_attachment(picture, **_CHART)
            return
        *_, part = mail.iter_parts()
        assert isinstance(part, EmailMessage), "the HTML was added above"  # noqa: S101
        part.add_related(picture, cid=f"<{CHART_ID}>", disposition="inline", **_CHART)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """A connection, encrypted and logged in as the receiver's URL says."""
        host, timeout = self.smtp_host, self.socket_connect_timeout
        # One that is made by default accepts certificates that nobody vouches for.
        context = None if self.secure_mode == "insecure" else ssl.create_default_context()
        if self.secure_mode == "ssl":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, self.port, timeout=timeout, context=context
            )
        else:
            server = smtplib.SMTP(host, self.port, timeout=timeout)
        try:
            if self.secure_mode == "starttls":
                server.starttls(context=context)
            if self.user and self.password:
                server.login(self.user, self.password)
            yield server
            # Nobody waits for the answer: what became of the mail is known by now.
            with suppress(OSError, smtplib.SMTPException):
                server.putcmd("quit")
        finally:
            server.close()


def _replies(
    server: smtplib.SMTP, sender: str, recipient: str, mail: bytes
) -> Iterator[tuple[int, bytes]]:
    """The server's reply to each step, which is taken when the reply to the last is good."""
    yield server.mail(sender)
    yield server.rcpt(recipient)
    yield server.data(mail)


def _is_success(code: int) -> bool:
    return code // 100 == 2  # noqa: PLR2004 - RFC 5321 section 4.2.1


def _refusal(code: int) -> Outcome:
    """The outcome of a reply that is no success. Raises where it is no reply at all."""
    if code // 100 not in {4, 5}:
        raise smtplib.SMTPServerDisconnected
    return outcome_of_smtp(code)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
