"""Market abuse: what it looks like in orders and trades, and how it becomes a case.

    ingestion → history → run (risk.detectors: pure) → risk.cases (alerts, with a picture)

The detectors see plain records of one market and know no database; `run` reads, raises and prunes; `ranking`
orders the queue of cases and raises nothing; `evaluation` measures the detectors on flow whose abusers are known.
"""
