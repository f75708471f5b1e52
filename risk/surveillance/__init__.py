"""Market abuse: what it looks like in orders and trades, and how it becomes a case.

    legs → history → detect (wash, rings, spoofing, ignition: pure) → run (alerts, with a picture)

The detectors see plain records of one market and know no database; `run` reads, raises and prunes; `ranking`
orders the queue of cases and raises nothing; `evaluation` measures the detectors on flow whose abusers are known.
"""
