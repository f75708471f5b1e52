"""The one file that turns decimals into ticks, lots and minor units, and back.

Rules of this file: no other file converts, and nothing here is a float. A *minor unit* of an asset is
10^-scale of it (a satoshi for BTC at scale 8); amounts of money are whole numbers of minor units.

Rounding. Only a fee is ever rounded, up to the next minor unit, to the house; all else is exact. The
price of a lot (tick times lot) must be a whole number of the quote asset's minor units and a lot one of the
base asset's, so that what any order is worth is whole; an instrument that is not like that is refused.
What a user sends is never rounded either: what is no multiple of the tick or lot converts to None.

Texts have the fixed number of digits of their scale: "1.50000000"; `trim` gives "1.5". They are made
from the digits of the integer, without `Decimal`, as they are made for every message.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

PPM = 1_000_000
MAX_ADJUSTED = 30  # 10^30 is beyond any amount there is, and small enough to compute with
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])


class InstrumentScale:
    """The conversions of one instrument.

    `tick` and `lot` are the smallest steps of price (quote per base) and quantity (base), the scales
    are the digits after the point of the base and the quote asset. Raises ValueError, saying which
    and why, when they do not fit together.
    """

    __slots__ = (
        "_lot_minor",
        "_lot_scale",
        "_lot_units",
        "_tick_scale",
        "_tick_units",
        "_value_minor",
        "lot",
        "tick",
    )

    def __init__(self, tick: Decimal, lot: Decimal, base_scale: int, quote_scale: int) -> None:
        self.tick = tick
        self.lot = lot
        self._tick_units, self._tick_scale = _units(tick, "tick")
        self._lot_units, self._lot_scale = _units(lot, "lot")
        self._lot_minor = _whole_minor(lot, base_scale, "the lot", "base")
        with localcontext(EXACT):
            value = tick * lot
        self._value_minor = _whole_minor(value, quote_scale, "tick times lot", "quote")

    # -- prices and quantities

    def to_ticks(self, price: Decimal) -> int | None:
        """A price in ticks, of either sign; None when it is no multiple of the tick (or absurdly large)."""
        return _multiple(price, self._tick_units, self._tick_scale)

    def to_lots(self, quantity: Decimal) -> int | None:
        """A quantity in lots, of either sign; None when it is no multiple of the lot (or absurdly large)."""
        return _multiple(quantity, self._lot_units, self._lot_scale)

    def ticks_around(self, price: Decimal) -> tuple[int, int] | None:
        """The ticks at or below and at or above a price from elsewhere, which may lie between two of ours;
        None when it is not positive (or absurdly large)."""
        if not price.is_finite() or price <= 0 or price.adjusted() > MAX_ADJUSTED:
            return None
        scaled = price.scaleb(self._tick_scale, Context(prec=80))
        below = int(scaled) // self._tick_units
        return below, below if below * self._tick_units == scaled else below + 1

    def price(self, ticks: int) -> Decimal:
        return Decimal(self.price_text(ticks))

    def quantity(self, lots: int) -> Decimal:
        return Decimal(self.quantity_text(lots))

    def price_text(self, ticks: int) -> str:
        return minor_text(ticks * self._tick_units, self._tick_scale)

    def quantity_text(self, lots: int) -> str:
        return minor_text(lots * self._lot_units, self._lot_scale)

    # -- amounts, in minor units; exact

    def base_minor(self, lots: int) -> int:
        """What a quantity is in minor units of the base asset."""
        return lots * self._lot_minor

    def quote_minor(self, ticks: int, lots: int) -> int:
        """What a quantity costs at a price, in minor units of the quote asset."""
        return ticks * lots * self._value_minor


def fee_minor(amount_minor: int, rate_ppm: int) -> int:
    """The fee on an amount received, at a rate in parts per million: rounded up, never above the amount."""
    assert amount_minor >= 0, amount_minor
    return min(amount_minor, -(-amount_minor * rate_ppm // PPM))


def minor_text(minor: int, scale: int) -> str:
    """A whole number of 10^-scale as a decimal with `scale` digits after the point: 150, 2 → "1.50"."""
    if minor < 0:
        return "-" + minor_text(-minor, scale)
    digits = str(minor)
    if scale == 0:
        return digits
    if len(digits) <= scale:
        digits = digits.zfill(scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def to_minor(amount: Decimal, scale: int) -> int | None:
    """The inverse of `minor_text`; None when the amount has more digits than the scale (or is absurd)."""
    return _multiple(amount, 1, scale)


def trim(text: str) -> str:
    """A decimal text without the zeros that say nothing: "1.50" → "1.5", "2.00" → "2", "100" → "100"."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _multiple(value: Decimal, units: int, scale: int) -> int | None:
    """How often `units` of 10^-scale goes into a value; None if not a whole number of times."""
    if not value.is_finite() or value.adjusted() > MAX_ADJUSTED:
        return None
    try:
        scaled = value.scaleb(scale, EXACT)
    except Inexact:  # more digits than any multiple has
        return None
    whole = int(scaled)
    if whole != scaled:
        return None
    times, rest = divmod(whole, units)
    return times if rest == 0 else None


def _units(step: Decimal, name: str) -> tuple[int, int]:
    """A step as (units, scale), so that it is `units` of 10^-scale: 0.25 → (25, 2), 10 → (10, 0)."""
    if not step.is_finite() or step <= 0 or step.adjusted() > MAX_ADJUSTED:
        raise ValueError(f"the {name} must be a positive decimal, not {step}")
    exponent = step.normalize(EXACT).as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    scale = max(0, -exponent)
    return int(step.scaleb(scale, EXACT)), scale


def _whole_minor(amount: Decimal, scale: int, name: str, asset: str) -> int:
    minor = _multiple(amount, 1, scale)
    if not minor:
        raise ValueError(
            f"{name} is {amount}, which the {asset} asset's {scale} digits after the point cannot hold"
        )
    return minor
