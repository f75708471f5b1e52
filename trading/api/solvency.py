"""REST: the newest proofs of what a member's institution owes, with the member's own leaves and their ways."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta

from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from trading.books import signing, solvency


class NodeView(msgspec.Struct):
    """A node beside the way: its hash, and its sum in the asset's smallest unit."""

    hash: str
    sum: str


class LeafView(msgspec.Struct):
    """One of your leaves. Bit n of `position` says whether you come from the right (1) at level n of `path`."""

    part: int
    position: int
    nonce: str
    amount: str
    path: list[NodeView]


class ProofView(msgspec.Struct):
    """`document` is the signed root as it was published: {"report": …, "signature": …}. Your balance then is the sum of
    your leaves' amounts."""

    asset: str
    taken_at: datetime
    document: Annotated[dict[str, Any], Meta(description="what was signed, and the signature")]
    leaves: list[LeafView]


class Proofs(msgspec.Struct):
    """`user_id` is yours, as it stands in your leaves; `public_key` is PEM."""

    user_id: str
    public_key: str | None
    items: list[ProofView]


class SolvencyView(ApiView):
    permission = "balances:read"

    @extend_schema(
        operation_id="getSolvency",
        summary="What is owed to all users, proved, and your own part in it",
        description="leaf = SHA-256 of `leaf|1|<id>|<asset>|<user_id>|<part>|<nonce>|<amount>`, node = SHA-256 of "
        "`node|1|<left hash>|<left sum>|<right hash>|<right sum>`. The root must be that of the signed report. "
        "`docs/check_leaf.py` does it.",
        tags=["balances"],
        responses={200: answers(Proofs, "The newest proof of each asset"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        member = request.member
        found = solvency.own(member.user_id, member.institution_id) if member.institution_id else []
        return answer(Proofs(member.user_id, _public_key(), [_proof(each) for each in found]))


def _public_key() -> str | None:
    try:
        return signing.public_pem(signing.private_key().public_key())
    except signing.KeyProblem:
        return None  # this process signs nothing; the bank hands its key out


def _proof(own: solvency.Own) -> ProofView:
    document = own.document
    leaves = [
        LeafView(
            part.part,
            part.position,
            part.nonce.hex(),
            str(part.amount),
            [NodeView(node.hash.hex(), str(node.sum)) for node in part.path],
        )
        for part in own.parts
    ]
    return ProofView(document["report"]["asset"], own.proof.taken_at, document, leaves)
