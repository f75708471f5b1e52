"""Trades: their numbers, their two orders, and the money they moved (invariants 1, 5 and 6)."""

from __future__ import annotations

from trading.verify.check import Check, Rule

# The fee on what one side receives: rounded up to the asset's last place, never above it (matching.core.scale.fee_minor).
_FEE = "least({amount}, ceil({amount} * power(10::numeric, {scale}) * {rate} / 1000000) / power(10::numeric, {scale}))"
_BUYER_RATE = "CASE WHEN t.is_buyer_maker THEN b.maker_fee_rate ELSE b.taker_fee_rate END"
_SELLER_RATE = "CASE WHEN t.is_buyer_maker THEN s.taker_fee_rate ELSE s.maker_fee_rate END"
_BUYER_FEE = _FEE.format(amount="t.quantity", scale="base.scale", rate=_BUYER_RATE)
_SELLER_FEE = _FEE.format(amount="(t.price * t.quantity)", scale="quote.scale", rate=_SELLER_RATE)

CHECKS = [
    Check(
        Rule("trade_numbers", 5, "trade numbers of an instrument run from 1 without a gap", "trades"),
        """
        SELECT CASE WHEN number <> before + 1 THEN
                   format('trade %s: %s number %s comes after %s', t.id, i.symbol, number, before)
               END AS breach
          FROM (SELECT id, instrument_id, number,
                       coalesce(lag(number) OVER (PARTITION BY instrument_id ORDER BY number), 0) AS before
                  FROM trading_trade) AS t
          LEFT JOIN trading_instrument i ON i.id = t.instrument_id
        """,
    ),
    Check(
        Rule("trade_orders", 5, "a trade is between a buy and a sell order of two users in its instrument, in whole steps", "trades"),
        """
        SELECT CASE WHEN (b.side, b.instrument_id, b.user_id) IS DISTINCT FROM ('BUY', t.instrument_id, t.buyer_id) THEN
                   format('trade %s: buyer order %s is not a buy order of user %s there', t.id, t.buyer_order_id, t.buyer_id)
               WHEN (s.side, s.instrument_id, s.user_id) IS DISTINCT FROM ('SELL', t.instrument_id, t.seller_id) THEN
                   format('trade %s: seller order %s is not a sell order of user %s there', t.id, t.seller_order_id, t.seller_id)
               WHEN t.buyer_id = t.seller_id THEN format('trade %s: user %s with himself', t.id, t.buyer_id)
               WHEN t.quantity <= 0 OR t.price <= 0 OR t.quantity % i.lot_size <> 0 OR t.price % i.tick_size <> 0 THEN
                   format('trade %s: %s at %s', t.id, t.quantity, t.price)
               END AS breach
          FROM trading_trade t
          LEFT JOIN trading_order b ON b.id = t.buyer_order_id
          LEFT JOIN trading_order s ON s.id = t.seller_order_id
          LEFT JOIN trading_instrument i ON i.id = t.instrument_id
        """,
    ),
    Check(
        Rule("trade_fees", 1, "a fee is the order's rate on what it receives, rounded up", "trades"),
        f"""
        SELECT CASE WHEN buyer_fee <> buyer_due OR seller_fee <> seller_due THEN
                   format('trade %s: fees %s and %s, due are %s and %s', id, trim_scale(buyer_fee), trim_scale(seller_fee),
                          trim_scale(buyer_due), trim_scale(seller_due))
               END AS breach
          FROM (SELECT t.id, t.buyer_fee, t.seller_fee, {_BUYER_FEE} AS buyer_due, {_SELLER_FEE} AS seller_due
                  FROM trading_trade t
                  JOIN trading_order b ON b.id = t.buyer_order_id
                  JOIN trading_order s ON s.id = t.seller_order_id
                  JOIN trading_instrument i ON i.id = t.instrument_id
                  JOIN trading_asset base ON base.id = i.base_id
                  JOIN trading_asset quote ON quote.id = i.quote_id) AS fees
        """,
    ),
    # Each posting of a trade is one of six legs (those of zero are left out). If all legs are there, each is once: then
    # there are as many postings as legs.
    Check(
        Rule("trade_postings", 1, "a trade moved both amounts and both fees, between the right accounts", "trades"),
        """
        WITH leg AS (
            SELECT t.id, i.base_id, i.quote_id, t.quantity, t.price * t.quantity AS notional, t.buyer_fee, t.seller_fee,
                   b.hold_account_id AS buyer_pays, b.receive_account_id AS buyer_gets, buyer_house.id AS buyer_fee_to,
                   s.hold_account_id AS seller_pays, s.receive_account_id AS seller_gets, seller_house.id AS seller_fee_to
              FROM trading_trade t
              JOIN trading_instrument i ON i.id = t.instrument_id
              JOIN trading_order b ON b.id = t.buyer_order_id
              JOIN trading_order s ON s.id = t.seller_order_id
              JOIN trading_account bought ON bought.id = b.receive_account_id
              JOIN trading_account sold ON sold.id = s.receive_account_id
              LEFT JOIN trading_account buyer_house ON buyer_house.kind = 'FEES' AND buyer_house.asset_id = bought.asset_id
                                                   AND buyer_house.institution_id = bought.institution_id
              LEFT JOIN trading_account seller_house ON seller_house.kind = 'FEES' AND seller_house.asset_id = sold.asset_id
                                                    AND seller_house.institution_id = sold.institution_id
        ), matched AS (
            SELECT leg.id, p.id AS posting_id,
                   10 + (notional > seller_fee)::integer * 2 + (seller_fee > 0)::integer * 4
                      + (quantity > buyer_fee)::integer * 16 + (buyer_fee > 0)::integer * 32 - 1 AS due,
                   CASE (p.account_id, p.asset_id, p.amount)
                       WHEN (buyer_pays, quote_id, -notional) THEN 1
                       WHEN (seller_gets, quote_id, notional - seller_fee) THEN 2
                       WHEN (seller_fee_to, quote_id, seller_fee) THEN 4
                       WHEN (seller_pays, base_id, -quantity) THEN 8
                       WHEN (buyer_gets, base_id, quantity - buyer_fee) THEN 16
                       WHEN (buyer_fee_to, base_id, buyer_fee) THEN 32
                       ELSE 64 END AS legs
              FROM leg LEFT JOIN trading_posting p ON p.transaction_id = leg.id
        )
        SELECT CASE WHEN bit_or(legs) <> max(due) OR count(posting_id) <> bit_count(max(due)::bit(8)) THEN
                   format('trade %s: %s postings, %s expected; what is missing or wrong: %s', id, count(posting_id),
                          bit_count(max(due)::bit(8)),
                          array_to_string(ARRAY(SELECT name FROM unnest(ARRAY['buyer pays', 'seller receives', 'fee of seller',
                              'seller delivers', 'buyer receives', 'fee of buyer', 'another posting']) WITH ORDINALITY
                              AS leg (name, place) WHERE ((bit_or(legs) # max(due)) >> (place - 1)::integer) & 1 = 1), ', '))
               END AS breach
          FROM matched GROUP BY id
        """,
    ),
    Check(
        Rule("trade_transactions", 1, "each trade has its ledger transaction, and each transaction of a trade its trade", "trades"),
        """
        SELECT CASE WHEN l.kind IS DISTINCT FROM 'TRADE' THEN format('trade %s: has no ledger transaction', t.id)
                    WHEN t.id IS NULL THEN format('transaction %s: of a trade that is not there', l.id)
               END AS breach
          FROM trading_trade t
          FULL JOIN (SELECT id, kind FROM trading_transaction WHERE kind = 'TRADE') AS l ON l.id = t.id
        """,
    ),
]
