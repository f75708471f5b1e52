"""REST: deposits and withdrawals, as their user asks for them and sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view

from exchange.base.env import env
from exchange.base.http.json_decoding import invalid
from exchange.base.http.openapi import answers, json, problems
from exchange.base.http.problems import FieldError, Problem
from exchange.base.http.query_string import Query
from exchange.platform.members import authentication, personal_data
from exchange.platform.rest.view import ApiRequest, ApiView, answer, body, charge
from trading.api import parameters
from trading.api.openapi import RATE_FIELDS
from trading.api.payment_bodies import (
    DepositPage,
    DepositView,
    RequestDeposit,
    RequestWithdrawal,
    WithdrawalPage,
    WithdrawalView,
    deposit_view,
    withdrawal_view,
)
from trading.models import Asset, Deposit, Withdrawal
from trading.models.payments import DepositState, WithdrawalState
from trading.payments import refusal, requests, selectors
from trading.payments.requests import Wanted

CONFLICTS = {"client_reference_conflict", "payment_not_open"}
TAGS = ["payments"]
PARTY = "TR33 0006 1005 1978 6457 8413 26"


@dataclass(frozen=True)
class PaymentKind:
    """What the views of deposits and of withdrawals differ in. `party` is the field that names the other side."""

    name: str
    model: Any  # type[Deposit] or type[Withdrawal]
    states: list[str]
    party: str
    request: type[RequestDeposit] | type[RequestWithdrawal]
    view: type[DepositView] | type[WithdrawalView]
    page: type[DepositPage] | type[WithdrawalPage]
    shown: Callable[[Any, str], Any]
    ask: Callable[..., tuple[Any, bool]]


DEPOSIT = PaymentKind(
    name="deposit",
    model=Deposit,
    states=DepositState.values,
    party="source",
    request=RequestDeposit,
    view=DepositView,
    page=DepositPage,
    shown=deposit_view,
    ask=requests.deposit,
)
WITHDRAWAL = PaymentKind(
    name="withdrawal",
    model=Withdrawal,
    states=WithdrawalState.values,
    party="destination",
    request=RequestWithdrawal,
    view=WithdrawalView,
    page=WithdrawalPage,
    shown=withdrawal_view,
    ask=requests.withdraw,
)


def described(kind: PaymentKind, *, summary: str, description: str, made: str) -> Any:
    """The OpenAPI of a `PaymentsView`; the words are about asking for one."""
    title = kind.name.capitalize()
    example = {"asset": "USDT", "amount": "250", "client_reference": "november-1", kind.party: PARTY}
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"list{title}s",
            summary=f"Your {kind.name}s, newest first",
            tags=TAGS,
            parameters=[
                OpenApiParameter("asset", str, description="such as USDT"),
                OpenApiParameter("status", str, enum=kind.states, description="only these"),
                *parameters.PAGE,
            ],
            responses={200: answers(kind.page, f"A page of {kind.name}s"), **problems(400, 501)},
        ),
        post=extend_schema(
            operation_id=f"request{title}",
            summary=summary,
            description=description,
            tags=TAGS,
            request=json(kind.request),
            examples=[OpenApiExample(title, value=example, request_only=True)],
            parameters=RATE_FIELDS,
            responses={
                201: answers(kind.view, made),
                200: answers(kind.view, "The request of this client_reference, as it is now"),
                **problems(400, 409, 422, 429, 501),
            },
        ),
    )


def one_described(kind: PaymentKind, *, cancelled: str) -> Any:
    """The OpenAPI of a `PaymentView`."""
    title = kind.name.capitalize()
    path = [parameters.path_id(f"{kind.name}_id", f"the {kind.name}'s id")]
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"get{title}",
            summary=f"One of your {kind.name}s",
            tags=TAGS,
            parameters=path,
            responses={200: answers(kind.view, f"The {kind.name}"), **problems(400, 404, 501)},
        ),
        delete=extend_schema(
            operation_id=f"cancel{title}",
            summary=f"Take back a {kind.name} that nobody has decided yet",
            tags=TAGS,
            parameters=path,
            responses={200: answers(kind.view, cancelled), **problems(400, 404, 409, 501)},
        ),
    )


class PaymentsView(ApiView):
    permission = "payments:read"
    kind: ClassVar[PaymentKind]

    def get(self, request: ApiRequest) -> HttpResponse:
        _ours()
        rows, cursor = _page(request, self.kind)
        read = personal_data.opener(request.member.user_id)
        items = [self.kind.shown(row, read(row.party, row.place)) for row in rows]
        return answer(self.kind.page(items, cursor))

    def post(self, request: ApiRequest) -> HttpResponse:
        _ours()
        authentication.require(request.member, "payments:write")
        Query(request).check()
        asked = body(request, self.kind.request)
        headers = charge(request.member, 1)
        wanted = _wanted(request, asked, self.kind.party)
        made, new = _refused(lambda: self.kind.ask(wanted, trace_id=request.trace_id))
        return answer(self.kind.shown(made, wanted.party), 201 if new else 200, headers)


class PaymentView(ApiView):
    permission = "payments:read"
    kind: ClassVar[PaymentKind]

    def get(self, request: ApiRequest, **path: str) -> HttpResponse:
        _ours()
        Query(request).check()
        wanted, missing = self._wanted(path)
        found = selectors.one(self.kind.model, request.member.user_id, wanted)
        if found is None:
            raise missing
        return self._answer(found)

    def delete(self, request: ApiRequest, **path: str) -> HttpResponse:
        _ours()
        authentication.require(request.member, "payments:write")
        Query(request).check()
        wanted, missing = self._wanted(path)
        user, trace = request.member.user_id, request.trace_id
        try:
            return self._answer(
                _refused(lambda: requests.cancel(self.kind.model, wanted, user, trace_id=trace))
            )
        except refusal.Missing:
            raise missing from None

    def _wanted(self, path: dict[str, str]) -> tuple[UUID, Problem]:
        """The id in the path, and what to answer if there is no such payment."""
        name = self.kind.name
        missing = Problem(404, f"{name}_not_found", f"You have no {name} with this id.")
        return parameters.identifier(path[f"{name}_id"], missing), missing

    def _answer(self, row: Deposit | Withdrawal) -> HttpResponse:
        return answer(self.kind.shown(row, personal_data.unseal(row.user_id, row.party, row.place)))


@described(
    DEPOSIT,
    summary="Say that money is on its way",
    description="Nothing is booked before an operator has confirmed it. Costs one of your order rate.",
    made="The new request",
)
class DepositsView(PaymentsView):
    kind = DEPOSIT


@one_described(DEPOSIT, cancelled="The deposit, cancelled")
class OneDepositView(PaymentView):
    kind = DEPOSIT


@described(
    WITHDRAWAL,
    summary="Have money paid out",
    description="Operators approve and send it. Refused with `insufficient_funds`, `kyc_limit` or `kyc_level`, or\n"
    "`user_blocked`; then nothing is held. Costs one of your order rate.",
    made="The new request; its amount is held",
)
class WithdrawalsView(PaymentsView):
    kind = WITHDRAWAL


@one_described(WITHDRAWAL, cancelled="The withdrawal, cancelled; nothing is held any more")
class OneWithdrawalView(PaymentView):
    kind = WITHDRAWAL


def _ours() -> None:
    """Raises Problem where the bank's own wallet service does all this."""
    if env.wallet == "http":
        raise Problem(
            501,
            "payments_elsewhere",
            "Deposits and withdrawals are made at your bank's own wallet, not here.",
        )


def _wanted(request: ApiRequest, asked: RequestDeposit | RequestWithdrawal, party_name: str) -> Wanted:
    """Raises Problem 400 for an asset that there is not, or an amount that cannot be."""
    party = getattr(asked, party_name)
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


def _page(request: ApiRequest, kind: PaymentKind) -> tuple[Any, str | None]:
    query = Query(request)
    asset, limit, before = parameters.asset(query), query.limit(), query.cursor()
    state = query.text("status")
    if state is not None and state not in kind.states:
        query.wrong("status", f"must be one of {', '.join(kind.states)}")
    query.check()
    rows = selectors.page(
        kind.model,
        request.member.user_id,
        asset=asset.id if asset else None,
        states=[state] if state else [],
        before=before,
        limit=limit,
    )
    return parameters.page(rows, limit, lambda row: row.pk)
