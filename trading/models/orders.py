"""Orders, and the keys that make placing one idempotent."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from exchange.base import ids
from exchange.base.decimals import plain
from matching.core.types import OrderType, SelfTradePrevention, TimeInForce
from matching.order_status import OrderStatus
from trading.models.fields import AmountField, LooseKey


class Order(models.Model):
    """One order, from PENDING (durable, not yet matched) to closed. Partitioned by month on the id.

    `held` is what the order still blocks on `hold_account`; the database moves funds from available to held
    and back when it changes (see `migrations/sql/ledger.sql`), and a closed order holds nothing. The fee
    rates are those the order was accepted under, in millionths.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    number = models.BigIntegerField(help_text="ever-increasing, for protocols that know only integers")
    user = LooseKey("members.User")
    instrument = LooseKey("trading.Instrument")
    client_order_id = models.CharField(max_length=100)
    side = models.CharField(max_length=4, choices=[("BUY", "BUY"), ("SELL", "SELL")])
    type = models.CharField(max_length=10, choices=[(t.value, t.value) for t in OrderType])
    time_in_force = models.CharField(max_length=3, choices=[(t.value, t.value) for t in TimeInForce])
    post_only = models.BooleanField(default=False)
    prevention = models.CharField(max_length=13, choices=[(p.value, p.value) for p in SelfTradePrevention])
    price = AmountField(null=True, help_text="limit price; empty for MARKET and STOP")
    stop_price = AmountField(null=True)
    protection_price = AmountField(null=True, help_text="worst price of a MARKET or STOP")
    quantity = AmountField()
    remaining_quantity = AmountField()
    filled_quantity = AmountField(default=Decimal(0))
    filled_notional = AmountField(default=Decimal(0), help_text="sum of price × quantity of the fills")
    fee = AmountField(default=Decimal(0), help_text="in the asset received")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value.replace("_", " ").title()) for s in OrderStatus]
    )
    reason = models.CharField(max_length=30, default="", blank=True)
    hold_account = LooseKey("trading.Account")
    receive_account = LooseKey("trading.Account")
    held = AmountField(default=Decimal(0))
    maker_fee_rate = models.IntegerField(help_text="millionths")
    taker_fee_rate = models.IntegerField(help_text="millionths")
    priority = models.BigIntegerField(
        null=True,
        help_text="its place: the group's sequence at which it took it, plus the market's place offset",
    )
    trigger_price = AmountField(null=True)
    triggered_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=64, default="")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(F("user"), F("id").desc(), name="order_user"),
            models.Index(F("instrument"), F("id").desc(), name="order_instrument"),
            models.Index(
                fields=["instrument", "side", "price"],
                name="order_active",
                condition=Q(closed_at__isnull=True),
            ),
            models.Index(fields=["user"], name="order_open", condition=Q(closed_at__isnull=True)),
            models.Index(  # its condition names no status: what changes with an order's life costs an index entry
                fields=["instrument", "side", "stop_price"],
                name="order_stops",
                condition=Q(closed_at__isnull=True, stop_price__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(filled_quantity__gte=0, remaining_quantity__gte=0)
                & Q(quantity__gte=F("filled_quantity") + F("remaining_quantity")),
                name="order_never_overfilled",
            ),
            models.CheckConstraint(
                condition=Q(held__gte=0) & (Q(closed_at__isnull=True) | Q(held=0)),
                name="order_closed_holds_nothing",
            ),
        ]

    def __str__(self) -> str:
        quantity = plain(self.quantity)
        return f"{self.number} {self.get_side_display()} {quantity} {self.get_status_display()}"

    @property
    def worst_price(self) -> Decimal:
        """The worst price it may trade at: its limit, or a market order's protection price."""
        price = self.price if self.price is not None else self.protection_price
        assert price is not None, "one of the two is always there"
        return price

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_notional / self.filled_quantity if self.filled_quantity else None


class ClientOrder(models.Model):
    """`client_order_id` is unique per user across all partitions: a table of its own, one index.

    `fingerprint` is a hash of the request's body, by which a retry differs from a second order under the same name.
    """

    pk = models.CompositePrimaryKey("user_id", "client_order_id")
    user = LooseKey("members.User")
    client_order_id = models.CharField(max_length=100)
    order_id = models.UUIDField()
    fingerprint = models.BigIntegerField()

    def __str__(self) -> str:
        return self.client_order_id
