"""What risk keeps in PostgreSQL. Trading is read by plain SQL, from its read views."""

from risk.models.cases import Alert, Case, CaseNote
from risk.models.limits import Block, DeadMan, Limit, Revision
from risk.models.positions import Parameters, Portfolio, Position, PositionCursor, Score
from risk.models.surveillance import (
    OwnerLink,
    RaisedFinding,
    SeenTrade,
    ShownOrder,
    SurveillanceCursor,
    SurveillanceRule,
)

__all__ = [
    "Alert",
    "Block",
    "Case",
    "CaseNote",
    "DeadMan",
    "Limit",
    "OwnerLink",
    "Parameters",
    "Portfolio",
    "Position",
    "PositionCursor",
    "RaisedFinding",
    "Revision",
    "Score",
    "SeenTrade",
    "ShownOrder",
    "SurveillanceCursor",
    "SurveillanceRule",
]
