"""REST: a trader's money and every movement of it."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema

from exchange.base.decimals import plain
from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from trading.api import parameters, queries
from trading.api.bodies import Balances, BalanceView, LedgerPage, PostingView
from trading.reference.catalog import catalog


class BalancesView(ApiView):
    permission = "balances:read"

    @extend_schema(
        operation_id="listBalances",
        summary="Your balances",
        tags=["balances"],
        responses={200: answers(Balances, "One for each asset you have or had"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        return answer(Balances([_balance(each) for each in queries.balances(request.member.user_id)]))


class LedgerView(ApiView):
    permission = "balances:read"

    @extend_schema(
        operation_id="listLedger",
        summary="Every movement of your balances, newest first",
        tags=["balances"],
        parameters=[OpenApiParameter("asset", str, description="such as USDT"), *parameters.PAGE],
        responses={200: answers(LedgerPage, "A page of postings"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        asset, limit, before = parameters.asset(query), query.limit(), query.cursor()
        query.check()
        rows = queries.entries(request.member.user_id, asset.id if asset else None, before, limit)
        items, cursor = parameters.page(rows, limit, lambda entry: entry.id)
        return answer(LedgerPage([_posting(entry) for entry in items], cursor))


def _balance(balance: queries.Balance) -> BalanceView:
    total = balance.available + balance.held
    return BalanceView(balance.asset, plain(balance.available), plain(balance.held), plain(total))


def _posting(entry: queries.Entry) -> PostingView:
    return PostingView(
        posting_id=str(entry.id),
        transaction_id=str(entry.transaction),
        kind=entry.kind,  # type: ignore[arg-type]
        asset=catalog.asset(entry.asset).code,
        amount=plain(entry.amount),
        created_at=entry.created_at,
    )
