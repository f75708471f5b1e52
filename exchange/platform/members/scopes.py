"""What a key may do: scopes, in terms of the permissions that users have. Pure.

A key never has a permission that its user has not. No scope gives `profile:write`, and no key may make or change
keys: that takes a user who has signed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """Each includes READ."""

    READ = "READ"
    TRADE = "TRADE"
    WITHDRAW = "WITHDRAW"


PERMISSIONS: dict[str, frozenset[str]] = {
    Scope.READ: frozenset({"orders:read", "balances:read", "profile:read", "payments:read"}),
    Scope.TRADE: frozenset({"orders:write"}),
    Scope.WITHDRAW: frozenset({"payments:write"}),
}
CHOICES = [(scope.value, scope.value.capitalize()) for scope in Scope]


def complete(scopes: Iterable[str]) -> list[str]:
    """With what they include, each once, in order."""
    given = {Scope.READ, *scopes}
    return [scope.value for scope in Scope if scope in given]


def permitted(scopes: Iterable[str]) -> frozenset[str]:
    """The permissions of these scopes."""
    return frozenset().union(*(PERMISSIONS[scope] for scope in complete(scopes)))


def scope_for(permission: str) -> str | None:
    """The scope that gives a permission; None if none does."""
    return next((scope for scope, given in PERMISSIONS.items() if permission in given), None)
