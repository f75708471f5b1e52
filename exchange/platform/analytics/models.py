"""What was traded: a day's volume of each user in each market, counted from the event stream alone."""

from __future__ import annotations

from django.db import models

DIGITS, PLACES = 60, 18


class DailyVolume(models.Model):
    """What `user` bought and sold of `symbol` on `day` (UTC). A trade counts once for its buyer and once for its
    seller, so a market's volume is the sum of what was bought.

    `institution` is the user's when the trade was counted; `notional` is in the quote asset.
    """

    day = models.DateField()
    symbol = models.CharField(max_length=40)
    institution = models.ForeignKey(
        "members.Institution", on_delete=models.PROTECT, null=True, related_name="+"
    )
    user = models.UUIDField()
    trades = models.PositiveBigIntegerField()
    bought_quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    bought_notional = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    sold_quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    sold_notional = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "symbol", "institution", "user"],
                name="daily_volume_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.symbol} {self.user}"
