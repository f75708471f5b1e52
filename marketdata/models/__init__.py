"""What market data keeps in PostgreSQL. The trading tables it reads are trading's: by plain SQL."""

from marketdata.models.candles import Candle, CandleCursor, DepthSnapshot, Interval
from marketdata.models.prices import Price

__all__ = ["Candle", "CandleCursor", "DepthSnapshot", "Interval", "Price"]
