"""E-mail, by Django's backend: SMTP, or the console where EMAIL_URL is empty."""

from __future__ import annotations

import smtplib
from contextlib import suppress

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from exchange.platform.notifications.outcomes import NotTaken, Refused, Unanswered
from exchange.platform.notifications.rendering import RenderedMessage


class Mail:
    """A connection for each message: one that was kept open fails at the moment that counts."""

    name = "e-mail"

    def send(self, message: RenderedMessage) -> None:
        """Raises what `outcomes` has."""
        email = EmailMessage(
            message.subject,
            message.body,
            message.sender,
            [message.to],
            headers={
                "Message-ID": f"<{message.reference}@{_domain(message.sender)}>",
                "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answer comes back to us
            },
        )
        connection = get_connection()
        try:
            _open(connection)
            connection.send_messages([email])
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
            raise _refusal(error) from None
        except OSError as error:
            raise Unanswered(_reason(error)) from None
        finally:
            with suppress(OSError):  # the answer is there; how they part changes nothing
                connection.close()


def _open(connection: BaseEmailBackend) -> None:
    """Whatever goes wrong here, no message was handed over."""
    try:
        connection.open()
    except OSError as error:  # smtplib's own among them
        raise NotTaken(_reason(error)) from None


def _refusal(error: Exception) -> Exception:
    codes = _codes(error)
    if all(400 <= code < 500 for code in codes):
        return NotTaken(_reason(error))
    if all(code >= 400 for code in codes):
        return Refused(_reason(error))
    return Unanswered(_reason(error))  # an answer that is none


def _codes(error: Exception) -> list[int]:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _ in error.recipients.values()]
    assert isinstance(error, smtplib.SMTPResponseException)
    return [error.smtp_code]


def _reason(error: Exception) -> str:
    """Without the server's words, which quote addresses."""
    if isinstance(error, smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused):
        return f"SMTP {', '.join(map(str, _codes(error)))}"
    return type(error).__name__


def _domain(sender: str) -> str:
    return sender.rpartition("@")[2].rstrip(">") or "localhost"
