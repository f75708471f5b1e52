"""REST: how far a user is identified, and what they may do for it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.decimals import plain_or_none
from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.kyc import selectors
from exchange.platform.kyc.models import KycDocument
from exchange.platform.rest.view import ApiRequest, ApiView, answer


class KycDocumentView(msgspec.Struct):
    """REQUESTED: send it to your bank. An accepted one counts until it expires."""

    document_id: str
    kind: Literal["IDENTITY", "ADDRESS", "SELFIE", "INCOME", "OTHER"]
    status: Literal["REQUESTED", "RECEIVED", "ACCEPTED", "REJECTED"]
    reason: str
    expires_on: date | None
    expired: bool
    updated_at: datetime


class KycBody(msgspec.Struct):
    """The caps are a day's sum (in UTC) in `currency`, null for none."""

    level: int
    name: str
    status: Literal["UNVERIFIED", "IN_REVIEW", "VERIFIED", "REFUSED", "ERASED"]
    may_trade: bool
    may_deposit: bool
    may_withdraw: bool
    currency: str
    daily_deposit: str | None
    daily_withdrawal: str | None
    documents: list[KycDocumentView]


class KycView(ApiView):
    permission = "profile:read"

    @extend_schema(
        operation_id="getKyc",
        summary="Your level of identification, and what it allows",
        tags=["account"],
        responses={200: answers(KycBody, "Your level"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        member = request.member
        found = selectors.status(member.user_id, member.institution_id)
        terms = found.terms
        return answer(
            KycBody(
                level=terms.level,
                name=terms.name,
                status=found.state,  # type: ignore[arg-type]
                may_trade=terms.may_trade,
                may_deposit=terms.may_deposit,
                may_withdraw=terms.may_withdraw,
                currency=terms.currency,
                daily_deposit=plain_or_none(terms.daily_deposit),
                daily_withdrawal=plain_or_none(terms.daily_withdrawal),
                documents=[_document(each) for each in selectors.documents(member.user_id)],
            )
        )


def _document(row: KycDocument) -> KycDocumentView:
    return KycDocumentView(
        document_id=str(row.pk),
        kind=row.kind,  # type: ignore[arg-type]
        status=row.state,  # type: ignore[arg-type]
        reason=row.reason,
        expires_on=row.expires_on,
        expired=selectors.has_expired(row),
        updated_at=row.updated_at,
    )
