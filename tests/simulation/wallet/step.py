"""One step of the exchange in a process of its own, so that it can be killed in the midst of it.

python -m tests.simulation.wallet.step place USER '{"symbol": …}'    an order, as the web process takes it
python -m tests.simulation.wallet.step sweep                         the Celery task, once
"""

from __future__ import annotations

import json
import os
import sys

import django


def place(user_id: str, body: str) -> None:
    from exchange.platform.members.authentication import Member
    from exchange.platform.members.models import User
    from trading.api.order_request import read_order
    from trading.orders.order import NewOrder
    from trading.orders.place import place_orders

    user = User.objects.get(pk=user_id)
    member = Member(user_id, str(user.institution_id), user.role, frozenset(user.permissions), 1_000_000)
    draft = read_order(json.loads(body), user_id, "step")
    assert isinstance(draft, NewOrder), draft
    _, (placed,) = place_orders([draft], member, cost=1)
    print(placed.outcome.value, flush=True)


def sweep() -> None:
    from trading import tasks

    print(tasks.wallet(), flush=True)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "exchange.settings"
    django.setup()
    if sys.argv[1] == "place":
        place(*sys.argv[2:])
    else:
        sweep()
