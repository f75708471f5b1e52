"""REST: deposits and withdrawals, as their user asks for them and sees them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from exchange.api import ApiRequest, ApiView, answer, body, charge
from exchange.decoding import invalid
from exchange.env import env
from exchange.errors import FieldError, Problem
from exchange.members import persons, session
from exchange.query import Query
from exchange.schema import answers, json, problems
from trading.api import reading
from trading.api.payment_shapes import (
    DepositPage,
    DepositView,
    RequestDeposit,
    RequestWithdrawal,
    WithdrawalPage,
    WithdrawalView,
    deposit_view,
    withdrawal_view,
)
from trading.api.schema import RATE_FIELDS
from trading.models import Asset, Deposit, Withdrawal
from trading.models.payments import DepositState, WithdrawalState
from trading.payments import refusal, requests, selectors
from trading.payments.requests import Wanted

Kind = TypeVar("Kind", Deposit, Withdrawal)

CONFLICTS = {"client_reference_conflict", "payment_not_open"}
TAGS = ["payments"]
REFUSALS = problems(400, 409, 422, 429, 501)
_ASKED: Any = {"asset": "USDT", "amount": "250", "client_reference": "november-1"}
DEPOSIT_EXAMPLE = [
    OpenApiExample(
        "Deposit", value=_ASKED | {"source": "TR33 0006 1005 1978 6457 8413 26"}, request_only=True
    )
]
WITHDRAWAL_EXAMPLE = [
    OpenApiExample(
        "Withdrawal", value=_ASKED | {"destination": "TR33 0006 1005 1978 6457 8413 26"}, request_only=True
    )
]


def filters(states: list[str]) -> list[OpenApiParameter]:
    return [
        OpenApiParameter("asset", str, description="such as USDT"),
        OpenApiParameter("status", str, enum=states, description="only these"),
        *reading.PAGE,
    ]


class DepositsView(ApiView):
    permission = "payments:read"

    @extend_schema(
        operation_id="listDeposits",
        summary="Your deposits, newest first",
        tags=TAGS,
        parameters=filters(DepositState.values),
        responses={200: answers(DepositPage, "A page of deposits"), **problems(400, 501)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        _ours()
        rows, cursor = _page(request, Deposit, DepositState.values)
        read = persons.opener(request.member.user_id)
        return answer(DepositPage([deposit_view(row, read(row.party, row.place)) for row in rows], cursor))

    @extend_schema(
        operation_id="requestDeposit",
        summary="Say that money is on its way",
        tags=TAGS,
        request=json(RequestDeposit),
        examples=DEPOSIT_EXAMPLE,
        parameters=RATE_FIELDS,
        responses={
            201: answers(DepositView, "The new request"),
            200: answers(DepositView, "The request of this client_reference, as it is now"),
            **REFUSALS,
        },
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        """Nothing is booked before an operator has confirmed it. Costs one of your order rate."""
        _ours()
        session.require(request.member, "payments:write")
        Query(request).check()
        asked = body(request, RequestDeposit)
        headers = charge(request.member, 1)
        wanted = _wanted(request, asked, "source", asked.source)
        made, new = _refused(lambda: requests.deposit(wanted, trace_id=request.trace_id))
        return answer(deposit_view(made, wanted.party), 201 if new else 200, headers)


class OneDepositView(ApiView):
    permission = "payments:read"

    @extend_schema(
        operation_id="getDeposit",
        summary="One of your deposits",
        tags=TAGS,
        parameters=[reading.path_id("deposit_id", "the deposit's id")],
        responses={200: answers(DepositView, "The deposit"), **problems(400, 404, 501)},
    )
    def get(self, request: ApiRequest, deposit_id: str) -> HttpResponse:
        _ours()
        row = _one(request, Deposit, deposit_id)
        return answer(deposit_view(row, _party(row)))

    @extend_schema(
        operation_id="cancelDeposit",
        summary="Take back a deposit that nobody has decided yet",
        tags=TAGS,
        parameters=[reading.path_id("deposit_id", "the deposit's id")],
        responses={200: answers(DepositView, "The deposit, cancelled"), **problems(400, 404, 409, 501)},
    )
    def delete(self, request: ApiRequest, deposit_id: str) -> HttpResponse:
        row = _cancel(request, Deposit, deposit_id)
        return answer(deposit_view(row, _party(row)))


class WithdrawalsView(ApiView):
    permission = "payments:read"

    @extend_schema(
        operation_id="listWithdrawals",
        summary="Your withdrawals, newest first",
        tags=TAGS,
        parameters=filters(WithdrawalState.values),
        responses={200: answers(WithdrawalPage, "A page of withdrawals"), **problems(400, 501)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        _ours()
        rows, cursor = _page(request, Withdrawal, WithdrawalState.values)
        read = persons.opener(request.member.user_id)
        items = [withdrawal_view(row, read(row.party, row.place)) for row in rows]
        return answer(WithdrawalPage(items, cursor))

    @extend_schema(
        operation_id="requestWithdrawal",
        summary="Have money paid out",
        tags=TAGS,
        request=json(RequestWithdrawal),
        examples=WITHDRAWAL_EXAMPLE,
        parameters=RATE_FIELDS,
        responses={
            201: answers(WithdrawalView, "The new request; its amount is held"),
            200: answers(WithdrawalView, "The request of this client_reference, as it is now"),
            **REFUSALS,
        },
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        """Operators approve and send it. Refused with `insufficient_funds`, `kyc_limit` or `kyc_level`, or
        `user_blocked`; then nothing is held. Costs one of your order rate."""
        _ours()
        session.require(request.member, "payments:write")
        Query(request).check()
        asked = body(request, RequestWithdrawal)
        headers = charge(request.member, 1)
        wanted = _wanted(request, asked, "destination", asked.destination)
        made, new = _refused(lambda: requests.withdraw(wanted, trace_id=request.trace_id))
        return answer(withdrawal_view(made, wanted.party), 201 if new else 200, headers)


class OneWithdrawalView(ApiView):
    permission = "payments:read"

    @extend_schema(
        operation_id="getWithdrawal",
        summary="One of your withdrawals",
        tags=TAGS,
        parameters=[reading.path_id("withdrawal_id", "the withdrawal's id")],
        responses={200: answers(WithdrawalView, "The withdrawal"), **problems(400, 404, 501)},
    )
    def get(self, request: ApiRequest, withdrawal_id: str) -> HttpResponse:
        _ours()
        row = _one(request, Withdrawal, withdrawal_id)
        return answer(withdrawal_view(row, _party(row)))

    @extend_schema(
        operation_id="cancelWithdrawal",
        summary="Take back a withdrawal that nobody has decided yet",
        tags=TAGS,
        parameters=[reading.path_id("withdrawal_id", "the withdrawal's id")],
        responses={
            200: answers(WithdrawalView, "The withdrawal, cancelled; nothing is held any more"),
            **problems(400, 404, 409, 501),
        },
    )
    def delete(self, request: ApiRequest, withdrawal_id: str) -> HttpResponse:
        row = _cancel(request, Withdrawal, withdrawal_id)
        return answer(withdrawal_view(row, _party(row)))


def _ours() -> None:
    """Raises Problem where the bank's own wallet service does all this."""
    if env.wallet == "http":
        raise Problem(
            501,
            "payments_elsewhere",
            "Deposits and withdrawals are made at your bank's own wallet, not here.",
        )


def _wanted(
    request: ApiRequest, asked: RequestDeposit | RequestWithdrawal, party_name: str, party: str
) -> Wanted:
    """Raises Problem 400 for an asset that there is not, or an amount that cannot be."""
    asset, amount = Asset.objects.filter(code=asked.asset.replace("\0", "")).first(), Decimal(asked.amount)
    errors = []
    if asset is None:
        known = ", ".join(Asset.objects.order_by("code").values_list("code", flat=True))
        errors.append(FieldError("asset", "unknown_asset", f"must be one of {known}"))
    elif amount != round(amount, asset.scale):
        errors.append(FieldError("amount", "scale", f"must have at most {asset.scale} decimal places"))
    if amount == 0:
        errors.append(FieldError("amount", "too_small", "must be above 0"))
    for name, given in (("client_reference", asked.client_reference), (party_name, party)):
        if "\0" in given:
            errors.append(FieldError(name, "invalid", "must not contain the character NUL"))
    if party_name == "destination" and not party.strip():
        errors.append(FieldError(party_name, "missing", "must say where it goes to"))
    if asset is None or errors:
        raise invalid(errors)
    return Wanted(request.member.user_id, asset, amount, party.strip(), asked.client_reference)


Result = TypeVar("Result")


def _refused(do: Callable[[], Result]) -> Result:
    """What `do` gives. Raises Problem: 409 for a conflict, else 422."""
    try:
        return do()
    except refusal.Refused as error:
        raise Problem(409 if error.code in CONFLICTS else 422, error.code, error.detail) from None


def _cancel(request: ApiRequest, kind: type[Kind], text: str) -> Kind:
    _ours()
    session.require(request.member, "payments:write")
    Query(request).check()
    missing = _missing(kind)
    wanted, user_id = reading.identifier(text, missing), request.member.user_id
    try:
        return _refused(lambda: requests.cancel(kind, wanted, user_id, trace_id=request.trace_id))
    except refusal.Missing:
        raise missing from None


def _one(request: ApiRequest, kind: type[Kind], text: str) -> Kind:
    Query(request).check()
    missing = _missing(kind)
    found = selectors.one(kind, request.member.user_id, reading.identifier(text, missing))
    if found is None:
        raise missing
    return found


def _missing(kind: type[Deposit] | type[Withdrawal]) -> Problem:
    name = "deposit" if kind is Deposit else "withdrawal"
    return Problem(404, f"{name}_not_found", f"You have no {name} with this id.")


def _page(request: ApiRequest, kind: type[Kind], states: list[str]) -> tuple[Any, str | None]:
    query = Query(request)
    asset, limit, before = reading.asset(query), query.limit(), query.cursor()
    state = query.text("status")
    if state is not None and state not in states:
        query.wrong("status", f"must be one of {', '.join(states)}")
    query.check()
    rows = selectors.page(
        kind,
        request.member.user_id,
        asset=asset.id if asset else None,
        states=[state] if state else [],
        before=before,
        limit=limit,
    )
    return reading.page(rows, limit, lambda row: row.pk)


def _party(row: Deposit | Withdrawal) -> str:
    return persons.unseal(row.user_id, row.party, row.place)
