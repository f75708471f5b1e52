"""How operators find orders and trades among many millions: each way uses an index that is there anyway.

what they have           how it is found
id of an order, a trade  the primary key
e-mail                   the user, then (user, id) or (buyer, id), (seller, id)
client order id          (user, client_order_id), asked for each user: an index of its own would cost every order
number of an order       numbers ascend with ids, so by halving the time: no index on numbers either
number of a trade        (instrument, number) of each partition
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q

from exchange.base import ids
from exchange.platform.members.models import User
from trading.models import Instrument, Order, Trade

MOST = 50  # found by what needs not be unique
SLACK = timedelta(seconds=10)  # a number may be that much younger than its id
LONGEST_NUMBER = 18  # digits

_BY_CLIENT_ID = """
    SELECT c.order_id FROM members_user u
      JOIN trading_clientorder c ON c.user_id = u.id AND c.client_order_id = %s
     WHERE (%s::uuid IS NULL OR u.institution_id = %s) AND (%s = '' OR u.email = %s) LIMIT %s"""


def orders(term: str, institution: UUID | None) -> Q:
    """What the operator's words may mean among orders. `institution` narrows what is looked through; whose rows may be
    seen is for the caller to say."""
    term = term.strip()
    wanted = _uuid(term)
    if wanted is not None:
        traded = Trade.objects.filter(pk=wanted).values_list("buyer_order_id", "seller_order_id").first()
        return Q(pk__in=[wanted, *(traded or ())])
    email, _space, rest = term.partition(" ")
    if "@" in email:
        if rest.strip():
            return Q(pk__in=_client_orders(rest.strip(), institution, email.lower()))
        return Q(user__in=users(email))
    found = _client_orders(term, institution, "")
    if term.isdigit() and len(term) <= LONGEST_NUMBER:
        found += _numbered(int(term))
    return Q(pk__in=found)


def trades(term: str, institution: UUID | None) -> Q:
    """The same among trades; an order's id finds its fills. Staff of an institution find a trade by its own side: else
    they would learn whose the other one is."""
    term = term.strip()
    wanted = _uuid(term)
    if wanted is not None:
        order = Order.objects.filter(_of(institution, "user__"), pk=wanted).first()
        return Q(pk=wanted) | (Q(pk__in=[]) if order is None else fills(order))
    if "@" in term:
        found = users(term, institution)
        return Q(buyer__in=found) | Q(seller__in=found)
    if term.isdigit() and len(term) <= LONGEST_NUMBER:
        markets = list(Instrument.objects.values_list("pk", flat=True))
        return Q(instrument__in=markets, number=int(term))
    return Q(pk__in=[])


def fills(order: Order) -> Q:
    """Which trades are the order's: found as trades of its user from the order's beginning to its end."""
    role = "buyer" if order.side == "BUY" else "seller"
    span = Q(id__gte=ids.floor(ids.moment(order.pk) - SLACK))
    if order.closed_at is not None:
        span &= Q(id__lt=ids.floor(order.closed_at + SLACK))
    return span & Q(**{f"{role}_id": order.user_id, f"{role}_order_id": order.pk})


def users(email: str, institution: UUID | None = None) -> list[UUID]:
    """Read first, so that the database plans with the user and not with all who may have such an address."""
    found = User.objects.filter(_of(institution), email=email.strip().lower())
    return list(found.values_list("pk", flat=True))


def _of(institution: UUID | None, path: str = "") -> Q:
    return Q() if institution is None else Q(**{f"{path}institution": institution})


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def _client_orders(client_order_id: str, institution: UUID | None, email: str) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_BY_CLIENT_ID, [client_order_id[:100], institution, institution, email, email, MOST])
        return [order for (order,) in cursor.fetchall()]


def _numbered(number: int) -> list[UUID]:
    """Halve the time between the first order and now until the order is between two neighbours, then look there."""
    first = Order.objects.order_by("id").values_list("id", flat=True).first()
    if first is None:
        return []
    low = ids.moment(first)
    high = last = datetime.now(UTC) + SLACK  # `last` is of the first order from `high` on
    while high - low > timedelta(milliseconds=2):
        middle = low + (high - low) / 2
        later = Order.objects.filter(id__gte=ids.floor(middle)).order_by("id")
        found = later.values_list("id", "number").first()
        if found is not None and found[1] < number:
            low = middle
        else:
            high, last = middle, last if found is None else ids.moment(found[0])
    span = (ids.floor(low - SLACK), ids.floor(last + SLACK))
    return list(Order.objects.filter(id__range=span, number=number).values_list("id", flat=True)[:MOST])
