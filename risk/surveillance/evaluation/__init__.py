"""How good the detectors are: simulated flow through the real matching core, with abusers that are known.

market (book, clock, records) ← honest (who trades for their own reasons), abuse (who does not) → score
"""
