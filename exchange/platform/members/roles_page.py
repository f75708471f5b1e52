"""The table of roles as people read it: docs/roles.md is what this returns."""

from __future__ import annotations

from django.apps import apps

from exchange.platform.members.roles import GRANTS, PLATFORM_ONLY, Role

STAFF = [role for role in Role if role != Role.TRADER]
VERBS = {"view": "look", "add": "add", "change": "change", "delete": "delete"}

# What the names of actions mean.
ACTIONS = {
    "markets.halt": "halt an instrument or a group; post-only, cancel-only",
    "markets.resume": "ask that trading resumes",
    "markets.approve": "approve that trading resumes",
    "markets.create": "new assets, instruments and groups",
    "markets.move": "move an instrument to another group",
    "orders.cancel": "cancel orders: one, a user's, an instrument's",
    "users.create": "new users",
    "users.block": "block and release users, end sessions of the staff",
    "users.role": "ask for another role of somebody",
    "roles.approve": "approve another role",
    "kyc.decide": "decide documents and KYC levels",
    "payments.decide": "confirm and reject deposits and withdrawals",
    "payments.approve": "approve withdrawals above the threshold",
    "adjustments.request": "ask for an adjustment of a balance",
    "adjustments.approve": "approve an adjustment",
    "fees.request": "ask for other fees",
    "fees.approve": "approve other fees",
    "limits.request": "ask for other limits",
    "limits.approve": "approve other limits",
    "cases.work": "assign, note and decide cases",
    "outbox.retry": "retry and give up events that Kafka refused",
    "audit.view": "read the audit log",
    "data.import": "import reference data",
    "data.export": "export what is listed",
}

HEAD = """# Roles of the back office

Made by `manage.py roles` from `exchange/platform/members/roles.py`; a test compares.

Each of the staff has one role. Staff of an institution see and touch the rows of their institution and nothing else;
staff without one see those of all. A platform admin has no institution, an institution admin has one; the other roles
may be with or without. **P**: holds for staff without an institution only, since it concerns the whole installation.
Nobody approves what they have asked for themselves. A superuser passes every check of this table and is for
emergencies: keep none in daily use.
"""


def page() -> str:
    names = [str(role.label) for role in STAFF]
    parts = [HEAD, "## Actions\n", *_table(["", *names], [_action(name) for name in ACTIONS])]
    parts += ["", "## Pages\n", *_table(["", *names], [_model(label) for label in sorted(_models())])]
    return "\n".join(parts) + "\n"


def _action(name: str) -> list[str]:
    cells = ["" if name not in GRANTS[role] else "P" if name in PLATFORM_ONLY else "yes" for role in STAFF]
    return [f"`{name}`<br>{ACTIONS[name]}", *cells]


def _models() -> set[str]:
    """`app.model` of every permission that a role has."""
    granted = frozenset().union(*GRANTS.values()) - ACTIONS.keys()
    return {f"{app}.{name.partition('_')[2]}" for app, _, name in (each.partition(".") for each in granted)}


def _model(label: str) -> list[str]:
    app, model = label.split(".")
    known = apps.get_model(app, model)
    return [f"{known._meta.verbose_name_plural} (`{label}`)", *(_verbs(app, model, role) for role in STAFF)]


def _verbs(app: str, model: str, role: Role) -> str:
    found = []
    for verb, word in VERBS.items():
        name = f"{app}.{verb}_{model}"
        if name in GRANTS[role]:
            found.append(f"{word} (P)" if name in PLATFORM_ONLY else word)
    return ", ".join(found)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
