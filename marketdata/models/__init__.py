"""What market data keeps in PostgreSQL. Trading is read by plain SQL, from its read views."""

from marketdata.models.candles import Candle, CandleCursor, DepthSnapshot, Interval
from marketdata.models.prices import Price

__all__ = ["Candle", "CandleCursor", "DepthSnapshot", "Interval", "Price"]
