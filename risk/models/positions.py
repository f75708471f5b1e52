"""What users have made of their trades, what their portfolios are worth and may lose, and what that is reckoned
with. `risk.portfolio.positions`, `risk.portfolio.revaluation` and `risk.models.valuation_queue` are the only
writers but of the parameters.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

LEAST_OBSERVATIONS = 100  # below that, the worst 1 % is less than one observation


def _amount(**options: Any) -> Any:
    options = {"max_digits": 48, "decimal_places": 18, "default": Decimal(0)} | options
    return models.DecimalField(**options)  # type: ignore[arg-type]


class PositionCursor(models.Model):
    """How far a market's trades are in the positions: those up to `number` are, no others."""

    symbol = models.CharField(primary_key=True, max_length=41)
    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.symbol} #{self.number}"


class Position(models.Model):
    """What a user's trades in one market come to, at average cost (`risk.portfolio.average_cost`).

    A negative quantity was sold out of what trades did not bring: a deposit. Fees are in all of it, so
    `realised − cost` is the quote asset that the trades brought, to the last digit.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey("members.User", on_delete=models.PROTECT, related_name="+")
    symbol = models.CharField(max_length=41)
    quantity = _amount(help_text="base asset bought less sold")
    cost = _amount(help_text="what that quantity cost, in the quote asset; negative where sold short")
    realised = _amount(help_text="profit or loss of what was closed, in the quote asset")
    trades = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "symbol"], name="one_position"),
            models.CheckConstraint(
                condition=Q(quantity=0, cost=0)
                | Q(quantity__gt=0, cost__gte=0)
                | Q(quantity__lt=0, cost__lte=0),
                name="position_cost_has_its_sign",
            ),
        ]
        indexes = [models.Index(fields=["symbol"], name="position_symbol")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.symbol}"

    @property
    def average_cost(self) -> Decimal | None:
        return self.cost / self.quantity if self.quantity else None


class Portfolio(models.Model):
    """A user's last valuation, in the quote currency, and when the next is due. Losses are positive.

    Without enough history there is no VaR: `note` says what is missing.
    """

    user = models.OneToOneField("members.User", on_delete=models.PROTECT, primary_key=True, related_name="+")
    due_at = models.DateTimeField(default=timezone.now, db_index=True)
    valued_at = models.DateTimeField(null=True)
    currency = models.CharField(max_length=12, default="", help_text="that all amounts are in")
    value = _amount(null=True, default=None)
    parts = models.JSONField(default=list, help_text="asset, quantity, price, value and share of each")
    unpriced = models.JSONField(
        default=list, help_text="assets that have no price, so they are in nothing here"
    )
    observations = models.PositiveIntegerField(default=0, help_text="intervals of history")
    var_95 = _amount(null=True, default=None)
    es_95 = _amount(null=True, default=None)
    var_99 = _amount(null=True, default=None)
    es_99 = _amount(null=True, default=None)
    parametric_95 = _amount(null=True, default=None)
    parametric_99 = _amount(null=True, default=None)
    tested = models.PositiveIntegerField(default=0, help_text="intervals that the back-test forecast")
    exceptions = models.PositiveIntegerField(default=0, help_text="losses beyond the VaR at 99 % in them")
    kupiec = models.FloatField(null=True, help_text="statistic of Kupiec's test")
    p_value = models.FloatField(null=True, help_text="how probable such exceptions are if the VaR is right")
    concentration = models.FloatField(null=True, help_text="largest share of one asset but the currency")
    concentrated = models.CharField(max_length=12, blank=True, default="", help_text="that asset")
    note = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return _("portfolio of %(user)s") % {"user": self.user_id}


class Score(models.Model):
    """How risky a user is, 0 to 100 (`risk.portfolio.risk_score`); the pre-trade gate may refuse those above a
    limit."""

    user = models.OneToOneField("members.User", on_delete=models.PROTECT, primary_key=True, related_name="+")
    score = models.PositiveSmallIntegerField()
    parts = models.JSONField(default=dict, help_text="each part, 0 to 1")
    reckoned_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(score__lte=100), name="score_at_most_100")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.score}"


class Parameters(models.Model):
    """How portfolios are valued: one row, or none and the defaults count."""

    class Interval(models.TextChoices):
        M1 = "1m", "1 minute"
        M5 = "5m", "5 minutes"
        M15 = "15m", "15 minutes"
        H1 = "1h", "1 hour"
        H4 = "4h", "4 hours"
        D1 = "1d", "1 day"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    currency = models.CharField(max_length=12, default="USDT", help_text="all values are in this asset")
    interval = models.CharField(
        max_length=3, choices=Interval.choices, default=Interval.H1, help_text="of the returns"
    )
    horizon = models.PositiveSmallIntegerField(
        default=24, validators=[MinValueValidator(1)], help_text="intervals that VaR looks ahead"
    )
    least_observations = models.PositiveIntegerField(
        default=LEAST_OBSERVATIONS,
        validators=[MinValueValidator(LEAST_OBSERVATIONS)],
        help_text="returns without which there is no VaR; also the window of the back-test",
    )
    most_observations = models.PositiveIntegerField(
        default=1000, validators=[MaxValueValidator(5000)], help_text="the latest returns that count"
    )
    decay = models.FloatField(
        default=0.94,
        validators=[MinValueValidator(0.5), MaxValueValidator(0.999)],
        help_text="of the parametric VaR's weights, from one return to the one before",
    )
    concentration = models.FloatField(
        default=0.30,
        validators=[MinValueValidator(0.01), MaxValueValidator(1)],
        help_text="share of one asset above which there is an alert",
    )
    least_value = _amount(
        default=Decimal(1000), help_text="a portfolio below that value raises no alert of concentration"
    )
    full_var = models.FloatField(
        default=0.20,
        validators=[MinValueValidator(0.001), MaxValueValidator(1)],
        help_text="share of the value at which the VaR at 99 % counts in full for the score",
    )
    refresh_minutes = models.PositiveSmallIntegerField(
        default=15, validators=[MinValueValidator(1)], help_text="a portfolio is valued anew after that"
    )

    class Meta:
        verbose_name_plural = "parameters"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_row_of_parameters"),
            models.CheckConstraint(
                condition=Q(
                    horizon__gte=1,
                    least_observations__gte=LEAST_OBSERVATIONS,
                    most_observations__gte=models.F("least_observations"),
                    refresh_minutes__gte=1,
                ),
                name="parameters_make_sense",
                violation_error_message="The most observations must not be fewer than the least.",
            ),
        ]

    def __str__(self) -> str:
        return _("parameters")

    @classmethod
    def current(cls) -> Parameters:
        return cls.objects.first() or cls()
