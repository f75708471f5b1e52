"""What operators do on the pages of instruments, groups, orders and users: the buttons, and what is behind them.

Who may is in `exchange.platform.members.roles`. Staff of an institution reach their own users' orders alone, also
from the page of a market.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.checks import ModelAdminChecks
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

import exchange.platform.members.admin  # noqa: F401 - its pages are registered before they are extended
from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.ids import uuid7
from exchange.platform.members.models import Institution, User
from exchange.platform.members.tenancy import TenantAdmin, visible
from matching.admin import SymbolGroupAdmin
from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from risk.pretrade import kill_switch
from trading.backoffice.operator_page import After, Answer, MoveForm, ResumeForm, selected, show, who
from trading.markets import move, restrict, resume, status_control
from trading.markets.status_control import StatusRequest
from trading.models import Move, Order
from trading.orders import operator_cancels
from trading.orders.operator_cancels import Scope

# -- what the buttons do


def _restrict(status: MarketStatus) -> Any:
    def restrict_markets(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
        requests = [
            each
            for row in rows
            for each in restrict.restrict(_target(row), status, reason=data["reason"], by=who(request).email)
        ]
        return lambda: _came_of(requests)

    return restrict_markets


def _resume(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
    status = MarketStatus(data["status"])
    for row in rows:
        resume.ask(_target(row), status=status, reason=data["reason"], by=who(request))
    said = text("Sent for approval: another person decides.")
    return lambda: [(messages.SUCCESS, said)]


def _move(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
    moved = [
        move.move(row.symbol, data["group"].name, reason=data["reason"], by=who(request).email)
        for row in rows
    ]

    def after() -> list[Answer]:
        return [
            (
                messages.SUCCESS,
                f"{each.symbol}: {each.from_group} → {each.to_group}, "
                + text("open orders: %(n)s") % {"n": each.orders},
            )
            if move.wait(each)
            else (
                messages.WARNING,
                text("%(symbol)s is moved, but no matcher of %(group)s has taken it over: is one running?")
                % {"symbol": each.symbol, "group": each.to_group},
            )
            for each in moved
        ]

    return after


def _cancel(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
    own = visible(request.user)
    institution = None if own is None else Institution.objects.get(pk=own)
    requests = [
        operator_cancels.cancel_orders(_scope(row, institution), reason=data["reason"], by=who(request).email)
        for row in rows
    ]

    def after() -> list[Answer]:
        late = status_control.unapplied([command for each in requests for command in each.commands])
        orders = sum(each.orders for each in requests)
        if late:
            return [(messages.WARNING, text("Asked for %(n)s orders; a matcher is late.") % {"n": orders})]
        return [(messages.SUCCESS, text("Open orders cancelled: %(n)s") % {"n": orders})]

    return after


def _block(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
    for row in rows:
        kill_switch.block(row, reason=data["reason"], by=who(request).email, trace_id=uuid7())
    return lambda: [(messages.SUCCESS, text("Blocked; open orders are cancelled within seconds."))]


def _release(request: HttpRequest, rows: list[Any], data: dict[str, Any]) -> After:
    for row in rows:
        kill_switch.unblock(row, reason=data["reason"], by=who(request).email, trace_id=uuid7())
    return lambda: [(messages.SUCCESS, text("Released: orders are taken again."))]


def _target(row: Any) -> str | SymbolGroup:
    return row if isinstance(row, SymbolGroup) else str(row.symbol)


def _scope(row: Any, institution: Institution | None) -> Scope:
    if isinstance(row, Order):
        return Scope(order=row.pk, institution=institution)
    if isinstance(row, User):
        return Scope(user=row, institution=institution)
    (market,) = status_control.markets_of(row.symbol)
    return Scope(market=market, institution=institution)


def _came_of(requests: list[StatusRequest]) -> list[Answer]:
    late = status_control.wait(requests)
    return [
        (messages.WARNING, text("%(symbol)s: asked for, its matcher is late") % {"symbol": each.symbol})
        if each in late
        else (messages.SUCCESS, f"{each.symbol}: {text(each.before)} → {text(each.after)}")
        for each in requests
    ]


# -- the buttons


class Actions:
    """What they need is in `exchange.platform.members.roles`, and not in the table where the theme's own check
    looks for it."""

    checks_class = ModelAdminChecks


class RestrictingActions(Actions):
    """For pages of instruments and of groups."""

    actions_detail: ClassVar[Any] = ["halt", "cancel_only", "post_only", "resume"]
    actions: ClassVar[Any] = ["halt_selected"]

    @action(description=_("Halt"), permissions=["markets.halt"], url_path="halt")
    def halt(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("New orders and amendments will be refused; cancels are taken.")
        return show(self, request, object_id, _restrict(MarketStatus.HALTED), title=_("Halt"), what=what)

    @action(description=_("Cancel only"), permissions=["markets.halt"], url_path="cancel-only")
    def cancel_only(self, request: HttpRequest, object_id: str) -> HttpResponse:
        verb = _restrict(MarketStatus.CANCEL_ONLY)
        what = _("New orders and amendments will be refused; cancels are taken.")
        return show(self, request, object_id, verb, title=_("Cancel only"), what=what)

    @action(description=_("Post only"), permissions=["markets.halt"], url_path="post-only")
    def post_only(self, request: HttpRequest, object_id: str) -> HttpResponse:
        verb = _restrict(MarketStatus.POST_ONLY)
        what = _("Orders that would trade at once will be refused.")
        return show(self, request, object_id, verb, title=_("Post only"), what=what)

    @action(description=_("Resume"), permissions=["markets.resume"], url_path="resume")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("A second person decides; until then nothing changes.")
        return show(self, request, object_id, _resume, title=_("Resume"), what=what, form_class=ResumeForm)

    def has_halt_permission(self, request: HttpRequest) -> bool:
        """A list's actions ask so."""
        return request.user.has_perm("markets.halt")

    @action(description=_("Halt"), permissions=["halt"])
    def halt_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return selected(self, request, rows, "halt")


class CancellingActions(Actions):
    """For pages of orders, users and instruments."""

    @action(description=_("Cancel orders"), permissions=["orders.cancel"], url_path="cancel-orders")
    def cancel_orders(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("What is open of it will be cancelled, and the owners told that the exchange did it.")
        return show(self, request, object_id, _cancel, title=_("Cancel orders"), what=what)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """A list's actions ask so."""
        return request.user.has_perm("orders.cancel")

    @action(description=_("Cancel orders"), permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return selected(self, request, rows, "cancel_orders")


class InstrumentActions(RestrictingActions, CancellingActions):
    actions_detail: ClassVar[Any] = [*RestrictingActions.actions_detail, "cancel_orders", "move"]

    @action(description=_("Move"), permissions=["markets.move"], url_path="move")
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("Open orders keep their places. Both groups' matchers pause for about a second.")
        return show(self, request, object_id, _move, title=_("Move"), what=what, form_class=MoveForm)


class OrderActions(CancellingActions):
    actions_detail: ClassVar[Any] = ["cancel_orders"]
    actions: ClassVar[Any] = ["cancel_selected"]


class UserActions(CancellingActions):
    """Beside what the page has already."""

    @action(description=_("Block"), permissions=["users.block"], url_path="block")
    def block_trading(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("No orders will be taken, and what is open is cancelled.")
        return show(self, request, object_id, _block, title=_("Block"), what=what)

    @action(description=_("Release"), permissions=["users.block"], url_path="release")
    def release_trading(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what = _("Orders will be taken again. What was cancelled stays so.")
        return show(self, request, object_id, _release, title=_("Release"), what=what)


class GroupAdmin(RestrictingActions, SymbolGroupAdmin):
    """With buttons for all markets of a group."""


@admin.register(Move)
class MoveAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["created_at", "instrument", "from_group", "to_group", "by", "reason"]
    list_filter = ["instrument"]
    list_select_related = ["instrument", "from_group", "to_group"]
    ordering = ["-id"]


def extend(model: type[Any], actions: type[Any], detail: list[str]) -> None:
    """Put `actions` on a page that an app below registered."""
    page: type[Any] = type(admin.site._registry[model])
    admin.site.unregister(model)
    named = {"actions_detail": [*(getattr(page, "actions_detail", None) or ()), *detail]}
    admin.site.register(model, type(page.__name__, (actions, page), named))


admin.site.unregister(SymbolGroup)
admin.site.register(SymbolGroup, GroupAdmin)
extend(User, UserActions, ["cancel_orders", "block_trading", "release_trading"])
