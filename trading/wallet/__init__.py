"""The wallet port: with WALLET=http a bank's own wallet service holds the funds (contract: docs/wallet.md).

Our ledger then mirrors what the service has reserved, and nothing else. An order's funds are reserved there
before the order exists here, so placing one is a saga over two systems that share no transaction. Each step is
durable before the next begins, and each state has one way on that needs no process's memory (docs/decisions/021):

    state of the      what is so                        the way on                       if we die here
    reservation
    ───────────────────────────────────────────────────────────────────────────────────────────────────────
    (none)            nothing happened                  row RESERVING is committed       the caller asks again
    RESERVING         the service may have reserved     reserve-many over HTTP           abandoned after PATIENCE
      answer: held    it has                            intake: order, hold, RESERVE     abandoned: no order
                                                        posting and HELD, at once        can come to it any more
      answer: no      it has not                        REFUSED, order rejected          abandoned
      no answer       it may have                       RELEASING, the caller gets 503   abandoned
      order rejected  it has, and none needs it         RELEASING with the rejection     the same transaction
    HELD              the order lives on it             it is closed: RELEASE posting    HELD still, found again
                                                        and RELEASING, at once
    RELEASING         it may have been given back       release-many over HTTP           RELEASING still: again
    RELEASED          it has been given back            none                             –
    REFUSED           it never was reserved             none                             –

*Abandoned* means RELEASING, by the sweep; an intake that is only slow then finds no RESERVING row and fails.
A release may overtake the reserve that it undoes: the service remembers it and refuses the reserve. What
trades consume is settled by the service itself from `trade.events`; a release says only what is left over.

    client         HTTP: one deadline, one repetition, circuit breaker
    release        the Celery task: abandoned, closed, released
    reconcile      what we know against what the service knows

`trading.orders.wallet_funds` does what comes before and in the intake transaction.

Locally, a user's account holds what their orders have reserved. RESERVE moves it there from the house's WALLET
account; RELEASE moves back what the order left over and what it received, so that at rest nothing is there.

Where an order comes again under its client_order_id it needs no funds, so it is answered while the service is away.
Pre-trade limits are judged in intake: an order that they refuse had its funds reserved for a moment.

Known limitations: an amendment can't hold more than its order was placed with; `user.balances` of the stream
shows what is mirrored here, not what the service has; finished reservations are kept for good.
"""
