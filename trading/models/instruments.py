"""What is traded, and what it costs."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from trading.models.fields import AmountField


def places(value: Decimal) -> int:
    """How many decimal places `value` needs."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    return max(0, -exponent)


def group_of(symbol: str, groups: list[str]) -> str | None:
    """The group for `symbol` by rendezvous hashing, so that further groups get their share of further symbols."""
    return max(groups, key=lambda group: blake2b(f"{group} {symbol}".encode()).digest(), default=None)


class Asset(models.Model):
    code = models.CharField(max_length=12, unique=True)
    name = models.CharField(max_length=60)
    scale = models.PositiveSmallIntegerField(help_text="decimal places in the ledger; cannot change later")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(scale__lte=18), name="asset_scale_at_most_18")]

    def __str__(self) -> str:
        return self.code


class TriggerSource(models.TextChoices):
    """Whose price lets a stop go: the outside market's, or that of our own last trade."""

    MARKET = "MARKET", "outside market"
    LAST_TRADE = "LAST_TRADE", "own last trade"


class Instrument(models.Model):
    symbol = models.CharField(max_length=25, unique=True, help_text="BASE/QUOTE")
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    tick_size = AmountField(help_text="prices are multiples of it; cannot change later")
    lot_size = AmountField(help_text="quantities are multiples of it; cannot change later")
    min_quantity = AmountField()
    max_quantity = AmountField()
    min_notional = AmountField(help_text="least price × quantity of an order, in the quote asset")
    collar = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default=Decimal("0.05"),
        help_text="how far from the best price a market order may trade, as a fraction: 0.05 is 5 %",
    )
    group = models.ForeignKey(
        SymbolGroup,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="the worker that matches it; empty: by consistent hashing; changed by a move",
    )
    status = models.CharField(
        max_length=12,
        choices=[(status.value, status.value) for status in MarketStatus],
        default=MarketStatus.TRADING.value,
        editable=False,
        help_text="changed by the market's actions, which pass through its matcher",
    )
    status_reason = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="what the last operator who changed the status said",
    )
    place_offset = models.BigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="places in its book are counted by its group's sequence, plus this",
    )
    market_symbol = models.CharField(
        max_length=25,
        blank=True,
        default="",
        help_text="its name at the outside market, such as BTCUSDT; empty: it has no price there",
    )
    trigger_source = models.CharField(
        max_length=10,
        choices=TriggerSource.choices,
        default=TriggerSource.LAST_TRADE,
        help_text="the price that triggers stops",
    )

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(
                condition=Q(tick_size__gt=0, lot_size__gt=0), name="instrument_steps_positive"
            ),
            models.CheckConstraint(
                condition=Q(min_quantity__gt=0, max_quantity__gte=F("min_quantity")),
                name="instrument_quantity_range",
            ),
            models.CheckConstraint(
                condition=Q(collar__gt=0, collar__lt=1), name="instrument_collar_is_a_fraction"
            ),
            models.CheckConstraint(condition=~Q(base=F("quote")), name="instrument_two_assets"),
        ]

    def __str__(self) -> str:
        return self.symbol

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Without a group it is given one, for good: a new group takes no market from a running worker."""
        if self.group_id is None:
            groups = SymbolGroup.objects.order_by("name").values_list("name", flat=True)
            self.group_id = group_of(self.symbol, list(groups))
        super().save(*args, **kwargs)

    @property
    def slug(self) -> str:
        """The symbol as it stands in paths: BTC-USDT."""
        return self.symbol.replace("/", "-")

    def clean(self) -> None:
        """Only fees in a trade are rounded (docs/decisions/003): tick × lot must fit the quote asset's scale."""
        steps = (self.tick_size, self.lot_size, self.min_quantity, self.max_quantity)
        if not (self.base_id and self.quote_id and all(steps)):
            return  # what is missing or zero is reported by its own field or constraint
        problems: dict[str, Any] = {}
        if self.symbol != f"{self.base.code}/{self.quote.code}":
            problems["symbol"] = f"must be {self.base.code}/{self.quote.code}"
        if places(self.lot_size) > self.base.scale:
            problems["lot_size"] = f"has more decimal places than {self.base.code} ({self.base.scale})"
        if places(self.tick_size * self.lot_size) > self.quote.scale:
            problems["tick_size"] = (
                f"tick × lot needs more decimal places than {self.quote.code} ({self.quote.scale})"
            )
        if self.min_quantity % self.lot_size or self.max_quantity % self.lot_size:
            problems["min_quantity"] = "minimum and maximum must be multiples of the lot size"
        if problems:
            raise ValidationError(problems)


class FeeSchedule(models.Model):
    """Fee rates of an institution's users, for one instrument or (where none is named) for all others.

    A row is a version: of those for the same instrument the latest whose time has come is in force (of two of the same
    moment, the one written later). A version without rates ends the schedule: then the general one holds, or no fees.
    """

    institution = models.ForeignKey(
        "members.Institution", on_delete=models.PROTECT, related_name="fee_schedules"
    )
    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    maker = models.DecimalField(
        max_digits=7,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="fraction of what is received: 0.001 is 0.1 %; both empty: the schedule ends",
    )
    taker = models.DecimalField(max_digits=7, decimal_places=6, null=True, blank=True)
    effective_from = models.DateTimeField(
        default=timezone.now, db_default=Now(), help_text="UTC; empty: at once"
    )
    approval = models.ForeignKey(
        "approvals.Approval",
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="who asked for it and who approved it",
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["institution", "instrument", "-effective_from"], name="fee_schedule_versions"
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(maker__isnull=True, taker__isnull=True)
                | Q(
                    maker__isnull=False,
                    taker__isnull=False,
                    maker__gte=0,
                    maker__lt=1,
                    taker__gte=0,
                    taker__lt=1,
                ),
                name="fee_rates_are_fractions",
                violation_error_message="Both rates must be from 0 to below 1, or both empty.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.institution_id} {self.instrument_id or _('all')}"
