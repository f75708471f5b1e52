"""The words of e-mails and SMS: an institution's own templates, else the files in `templates/notifications`.

    templates/notifications/{language}/{kind}.email.txt    the first line is the subject
    templates/notifications/{language}/{kind}.sms.txt

Plain text in Django's template language, of which an institution's own may use variables, filters and `if`
only: no file is read and nothing loops. A template is tried out when it is saved; one that fails later all the
same gives way to the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.template import Context, Engine, Template, TemplateSyntaxError
from django.template.base import Node, TextNode, VariableNode
from django.template.defaulttags import IfNode
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

from exchange.platform.notifications.kinds import Channel, NotificationKind
from exchange.platform.notifications.models import TextTemplate

FOLDER = settings.BASE_DIR / "templates" / "notifications"
MISSING = "(?)"  # stands for a variable that there is not
DIGEST = TextTemplate.DIGEST

REASONS = {
    "MARKET_HALTED": noop("the market is halted"),
    "POST_ONLY_WOULD_CROSS": noop("it would have traded at once, and was to be post-only"),
    "FOK_UNFILLED": noop("it could not be filled in full at once"),
    "NO_LIQUIDITY": noop("nobody was there to trade with"),
    "SELF_TRADE": noop("it would have traded with an order of your own"),
    "INSUFFICIENT_FUNDS": noop("not enough available"),
    "OPERATOR_CANCELLED": noop("the exchange cancelled it"),
}

log = structlog.get_logger(__name__)
_engine = Engine(autoescape=False, string_if_invalid="")
_strict = Engine(autoescape=False, string_if_invalid=MISSING)
_ALLOWED = (TextNode, VariableNode, IfNode)


class Words(NamedTuple):
    """`subject` is empty for an SMS."""

    subject: str
    body: str


def of_event(
    kind: NotificationKind, data: Mapping[str, str], at: datetime, brand: str, language: str
) -> dict[str, str]:
    """What a template of `kind` can name."""
    with translation.override(language):
        found = {**data, "brand": brand, "time": _time(at)}
        if "status" in data:
            found["closed"] = "" if data["status"] == "PARTIALLY_FILLED" else "yes"
            reason = data.get("reason", "")
            found["reason_text"] = gettext(REASONS[reason]) if reason in REASONS else reason
            found.setdefault("price", "")
    return found


def of_digest(kinds: Counter[str], brand: str, language: str) -> dict[str, str]:
    """What a digest's template can name; `kinds` says how many there are of each."""
    with translation.override(language):
        lines = [f"{NotificationKind(kind).label}: {count}" for kind, count in sorted(kinds.items())]
    return {"brand": brand, "count": str(kinds.total()), "summary": "\n".join(lines)}


def write(
    kind: str, channel: Channel, language: str, values: Mapping[str, str], institution: UUID | None
) -> Words:
    """The words of a message. `kind` may be DIGEST."""
    own = TextTemplate.objects.filter(
        institution=institution, kind=kind, channel=channel, language=language
    ).first()
    if own is not None:
        try:
            return _words(channel, _render(own.subject, values, _engine), _render(own.body, values, _engine))
        except Exception as error:  # whatever an operator's template does, the user is notified
            log.error("template fails", template=own.pk, error=type(error).__name__)
    return _from_file(kind, channel, language, values)


def check(template: TextTemplate) -> Words:
    """The template filled in with an example. Raises ValidationError, by field."""
    problems: dict[str, str] = {}
    texts = {"subject": template.subject, "body": template.body}
    if template.channel == Channel.EMAIL and not template.subject.strip():
        problems["subject"] = "An e-mail needs a subject."
    if template.channel == Channel.SMS and template.subject:
        problems["subject"] = "An SMS has no subject."
    values = example(template.kind, template.language)
    for field, text in texts.items():
        try:
            rendered = texts[field] = _render(text, values, _strict)
        except Exception as error:  # a filter may raise anything
            problems.setdefault(field, f"This cannot be used: {error}")
        else:
            if MISSING in rendered:
                problems[field] = f"This names what there is not; there is {', '.join(sorted(values))}."
    if problems:
        raise ValidationError(problems)
    return Words(texts["subject"], texts["body"])


def example(kind: str, language: str) -> dict[str, str]:
    """Values as a template of `kind` would get them."""
    if kind == DIGEST:
        return of_digest(
            Counter({NotificationKind.ORDER_FILLED: 12, NotificationKind.DEPOSIT: 1}), "Demo", language
        )
    at = datetime.fromisoformat("2026-11-22T20:15:00+00:00")
    return of_event(NotificationKind(kind), _EXAMPLES[NotificationKind(kind)], at, "Demo", language)


def _from_file(kind: str, channel: Channel, language: str, values: Mapping[str, str]) -> Words:
    subject, body = _file(kind.lower(), channel, language)
    context = Context(dict(values), autoescape=False)
    return _words(channel, subject.render(context), body.render(context))


@cache
def _file(kind: str, channel: Channel, language: str) -> tuple[Template, Template]:
    """Subject and body."""
    text = (FOLDER / language / f"{kind}.{channel.lower()}.txt").read_text(encoding="utf-8")
    subject, _, body = text.partition("\n") if channel == Channel.EMAIL else ("", "", text)
    return Template(subject, engine=_engine), Template(body, engine=_engine)


def _render(text: str, values: Mapping[str, str], engine: Engine) -> str:
    template = Template(text, engine=engine)
    for node in template.nodelist.get_nodes_by_type(Node):
        if not isinstance(node, _ALLOWED):
            raise TemplateSyntaxError(f"only variables and if, not {_tag(node)!r}")
    return template.render(Context(dict(values), autoescape=False))


def _tag(node: Node) -> str:
    return node.token.contents.split()[0] if node.token else type(node).__name__


def _words(channel: Channel, subject: str, body: str) -> Words:
    """A subject is one line, whatever was put into it."""
    if channel == Channel.SMS:
        return Words("", " ".join(body.split()))
    return Words(" ".join(subject.split()), body.strip() + "\n")


def _time(at: datetime) -> str:
    return f"{date_format(at, 'j F Y H:i:s')} UTC"


_ORDER = {
    "order_id": "019bd2f0-7f00-7000-8000-000000000100",
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "side": "BUY",
    "order_type": "LIMIT",
    "status": "FILLED",
    "quantity": "0.5",
    "filled_quantity": "0.5",
    "remaining_quantity": "0",
    "price": "50000",
}
_EXAMPLES: dict[NotificationKind, dict[str, str]] = {
    NotificationKind.ORDER_FILLED: _ORDER,
    NotificationKind.ORDER_PARTIALLY_FILLED: _ORDER
    | {"status": "PARTIALLY_FILLED", "filled_quantity": "0.2", "remaining_quantity": "0.3"},
    NotificationKind.STOP_TRIGGERED: _ORDER
    | {"status": "TRIGGERED", "filled_quantity": "0", "remaining_quantity": "0.5"},
    NotificationKind.ORDER_REJECTED: _ORDER | {"status": "REJECTED", "reason": "FOK_UNFILLED"},
    NotificationKind.DEPOSIT: {
        "asset": "USDT",
        "amount": "2500",
        "transaction_id": "019bd2f0-7f00-7000-8000-000000000200",
    },
    NotificationKind.WITHDRAWAL: {
        "withdrawal_id": "019bd2f0-7f00-7000-8000-000000000300",
        "asset": "USDT",
        "amount": "250",
        "state": "REJECTED",
        "reason": "the bank does not know the account",
    },
    NotificationKind.NEW_DEVICE: {"device": "Firefox on Linux", "address": "203.0.113.7"},
}
