"""Whether this installation is a demo, where money and codes are for the asking.

That takes EXCHANGE_DEMO and a row in the database, which `manage.py demo` alone sets, and only where there is nothing
yet: else a variable of one user's shell would make a demo of a bank's installation.
"""

from __future__ import annotations

from django.db import connection, transaction

from exchange.base.env import env
from exchange.platform.members.models import DemoMark, Institution, User


class NotADemo(Exception):
    """Its text says why."""


def is_demo() -> bool:
    return env.exchange_demo and DemoMark.objects.exists()


def check_demo() -> None:
    """Raises NotADemo, unless this is a demo or may become one."""
    if not env.exchange_demo:
        raise NotADemo("not in demo mode: set EXCHANGE_DEMO=true where real money is far away")
    if not DemoMark.objects.exists() and (Institution.objects.exists() or User.objects.exists()):
        raise NotADemo(
            "this installation is in use, and was not begun as a demo: the demo takes a database of its own"
        )


@transaction.atomic
def begin_demo() -> None:
    """Raises NotADemo."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('demo'))")  # of two at once the second finds it
    check_demo()
    DemoMark.objects.get_or_create(pk=DemoMark.ONLY)
