"""Money in and out: a user asks by the API, the house's people decide.

    deposit       REQUESTED → CONFIRMED | REJECTED | CANCELLED
    withdrawal    REQUESTED → APPROVED → SENT → COMPLETED | FAILED
                  REQUESTED → REJECTED | CANCELLED;  APPROVED → REJECTED

From its request to its end a withdrawal holds its amount, by the triggers that hold an order's (docs/decisions/020).
Confirming a deposit and completing a withdrawal book it against CUSTODY in the transaction that changes the state. What
is above the threshold (EXCHANGE_WITHDRAWAL_REVIEW) takes a second person, through `exchange.platform.approvals`; no
person decides about money of their own (docs/decisions/015).

    requests     what a user does: ask, cancel
    caps         what their KYC level allows in a day
    decisions    what the house's people do
    approval     the same for what takes two of them
    booking      ledger, events and records of both

With WALLET=http the bank's own wallet service has all that, and here everything is refused.

Known limitations: caps are reckoned at the rates of the moment, so what a request of this morning counts changes with
the price; a day is one in UTC. A deposit that came in without a request is an adjustment.
"""
