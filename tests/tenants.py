"""Two institutions on one exchange, each with a row of its own on every page of the back office, and a trade between
them.

A row of a model that nobody has told this file about is made up from its fields. Where that breaks a rule of the model,
name what it needs in `GIVEN`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import NOT_PROVIDED, Q

from exchange.base.ids import uuid7
from exchange.platform.members.models import Institution, Role, User
from exchange.platform.members.tenancy import TenantAdmin
from tests.market import Desk, sql
from tests.staff import staff
from trading.models import Account, Asset, FeeSchedule, Instrument, Order, Posting, Trade, Transaction

NOW = datetime.now(UTC)


@dataclass
class Tenant:
    """`rows` are theirs alone, by model. `secrets` are texts that others must not be shown."""

    institution: Institution
    user: User
    admin: User
    account: Account
    rows: dict[type[models.Model], list[Any]] = field(default_factory=lambda: defaultdict(list))

    @property
    def secrets(self) -> set[str]:
        institution, users = self.institution, User.objects.filter(institution=self.institution)
        texts = {str(institution.pk), institution.code, institution.name}
        texts |= {str(value) for user in users for value in (user.pk, user.email)}
        return texts | {str(pk) for pks in self.rows.values() for pk in pks if isinstance(pk, UUID)}


Given = Callable[[Tenant], dict[str, Any]]
# What a made-up row would get wrong.
GIVEN: dict[str, Given] = {
    "risk.limit": lambda tenant: {"user": None, "institution": tenant.institution, "symbol": "BTC/USDT"},
    "risk.block": lambda tenant: {"user": tenant.user, "institution": None, "reason": "x"},
    "risk.alert": lambda tenant: {
        "kind": "WASH_RING",
        "evidence": {"users": [{"id": str(tenant.user.pk), "bought": "1", "owner": ""}]},
        "detail": {"trades": 2, "share_of_own_volume": "0.5"},
    },
    "risk.surveillancerule": lambda tenant: {"kind": "WASH_TRADE", "thresholds": {}},
    "approvals.approval": lambda tenant: {
        "about": tenant.user,
        "kind": "ADJUSTMENT",
        "requested_by": tenant.admin,
        "expires_at": NOW + timedelta(days=1),
    },
    "notifications.texttemplate": lambda tenant: {"channel": "EMAIL", "subject": "x", "body": "x"},
    "members.staffsession": lambda tenant: {"user": tenant.admin, "address": "192.0.2.1"},
    "kyc.kyclevel": lambda tenant: {"institution": tenant.institution},
    "trading.withdrawal": lambda tenant: {"party": "", "amount": Decimal(1), "held": Decimal(1)},
    "trading.deposit": lambda tenant: {"party": ""},
}


def pages() -> dict[type[models.Model], Any]:
    """Every page of the back office: all know tenants."""
    found: dict[type[models.Model], Any] = dict(admin.site._registry)
    assert not [page for page in found.values() if not isinstance(page, TenantAdmin)], (
        "each page needs TenantAdmin"
    )
    return found


def settle_in(desk: Desk) -> tuple[Tenant, Tenant]:
    Institution.objects.filter(pk=desk.institution.pk).update(code="oakbank", name="Oakbank")
    oak = _tenant(desk, Institution.objects.get(pk=desk.institution.pk))
    elm = _tenant(desk, Institution.objects.create(code="elmbank", name="Elmbank"))
    for each in (oak, elm):
        FeeSchedule.objects.get_or_create(
            institution=each.institution, defaults={"maker": Decimal("0.001"), "taker": Decimal("0.002")}
        )
    for seller, buyer in ((oak, elm), (elm, oak)):
        desk.trade(str(seller.user.pk), "SELL", "0.1", "100")
        desk.trade(str(buyer.user.pk), "BUY", "0.1", "100")
    for each in (oak, elm):
        desk.trade(str(each.user.pk), "BUY", "1", "50")
        _gather(each)
    sql("SET session_replication_role = replica")
    try:
        for each in (oak, elm):
            for model, page in pages().items():
                if page.tenant is not None and model not in each.rows:
                    each.rows[model].append(make(model, each).pk)
    finally:
        sql("SET session_replication_role = DEFAULT")
    return oak, elm


def _tenant(desk: Desk, institution: Institution) -> Tenant:
    desk.institution = institution
    user = User.objects.get(pk=desk.user(USDT="100000", BTC="10"))
    user.email = f"trader@{institution.code}.example"
    user.save()
    account = Account.objects.filter(user=user).order_by("pk")[0]
    boss = staff(Role.INSTITUTION_ADMIN, institution, f"boss@{institution.code}.example")
    return Tenant(institution, user, boss, account)


def _gather(tenant: Tenant) -> None:
    """What trading has left that is theirs alone. A trade is of both sides."""
    own = Q(institution=tenant.institution)
    accounts = set(Account.objects.filter(own).values_list("pk", flat=True))
    postings = list(Posting.objects.values_list("pk", "transaction_id", "account_id"))
    shared = {transaction for _, transaction, account in postings if account not in accounts}
    tenant.rows[Account] = sorted(accounts)
    tenant.rows[User] = list(User.objects.filter(own).values_list("pk", flat=True))
    tenant.rows[Institution] = [tenant.institution.pk]
    tenant.rows[Order] = list(Order.objects.filter(user=tenant.user).values_list("pk", flat=True))
    tenant.rows[Trade] = []
    tenant.rows[Posting] = [pk for pk, _, account in postings if account in accounts]
    tenant.rows[Transaction] = [
        pk for pk in Transaction.objects.values_list("pk", flat=True) if pk not in shared
    ]
    tenant.rows[FeeSchedule] = list(FeeSchedule.objects.filter(own).values_list("pk", flat=True))


def make(model: type[models.Model], tenant: Tenant) -> Any:
    given = GIVEN.get(model._meta.label_lower, lambda _: {})(tenant)
    for each in model._meta.concrete_fields:
        if each.name not in given and (_needed(each) or each.name in _heads(model)):
            given[each.name] = _value(each, tenant)
    row = model(**given)
    row.save(force_insert=True)
    return row


def _needed(each: Any) -> bool:
    if isinstance(each, models.AutoField) or each.generated:
        return False
    if each.null or (isinstance(each, models.CharField | models.TextField) and each.blank):
        return False
    return each.default is NOT_PROVIDED and each.db_default is NOT_PROVIDED


def _heads(model: type[models.Model]) -> set[str]:
    """The columns by which a row belongs to a tenant or user."""
    tenant = getattr(admin.site._registry.get(model), "tenant", None) or ()
    return {path.partition("__")[0] for path in ((tenant,) if isinstance(tenant, str) else tenant)}


def _value(each: Any, tenant: Tenant) -> Any:
    if each.is_relation:
        return _related(each.related_model, tenant)
    if each.choices:
        return each.flatchoices[0][0]
    if isinstance(each, models.UUIDField):
        return UUID(uuid7())
    if isinstance(each, models.DateTimeField):
        return NOW
    if isinstance(each, models.DateField):
        return date(2026, 1, 1)
    if isinstance(each, ArrayField):
        return [_value(each.base_field, tenant)]
    if isinstance(each, models.JSONField):
        return {}
    if isinstance(each, models.BooleanField):
        return False
    if isinstance(each, models.IntegerField | models.DecimalField | models.FloatField):
        return 1
    if isinstance(each, models.BinaryField):
        return b"x"
    text = f"{tenant.institution.code} {each.name}"
    return text[: each.max_length] if each.max_length else text


def _related(model: type[models.Model], tenant: Tenant) -> Any:
    if model is User:
        return tenant.user
    if model is Institution:
        return tenant.institution
    if model is Account:
        return tenant.account
    if model in (Asset, Instrument):
        return model._default_manager.order_by("pk")[0]
    made = tenant.rows[model]
    if not made:
        made.append(make(model, tenant).pk)
    return model._default_manager.get(pk=made[0])
