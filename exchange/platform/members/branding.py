"""Reads about the look of an institution's pages: by the host of a request, or by the institution's code.

A host that no institution has claimed gets the product's own look.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from exchange.platform.members.branding_rules import ink_on
from exchange.platform.members.models import Brand, Institution, InstitutionHost

PRODUCT = "MyTrader"
ACCENT, BUY, SELL = "#2563eb", "#0b8457", "#c93a45"
OWN = "-"  # stands for the product where a code is asked for; no slug is that


class Look(msgspec.Struct, frozen=True):
    """Colours are #rrggbb; `version` changes whenever anything here does."""

    code: str
    name: str
    accent: str
    buy: str
    sell: str
    logo: bytes

    @property
    def version(self) -> str:
        return blake2b(msgspec.json.encode(self), digest_size=6).hexdigest()

    def stylesheet(self) -> str:
        colours = {"accent": self.accent, "buy": self.buy, "sell": self.sell}
        lines = [f"--brand-{name}:{value};--on-{name}:{ink_on(value)};" for name, value in colours.items()]
        return ":root{" + "".join(lines) + "}\n"


DEFAULT = Look(OWN, PRODUCT, ACCENT, BUY, SELL, b"")


def of_host(host: str) -> Look:
    """`host` is without a port."""
    found = InstitutionHost.objects.select_related("institution__brand").filter(host=host.lower()).first()
    return DEFAULT if found is None else _look(found.institution)


def of_code(code: str) -> Look | None:
    """None if there is no such institution."""
    if code == OWN:
        return DEFAULT
    found = Institution.objects.select_related("brand").filter(code=code).first()
    return None if found is None else _look(found)


def _look(institution: Institution) -> Look:
    try:
        brand = institution.brand
    except Brand.DoesNotExist:
        brand = Brand()
    return Look(
        institution.code,
        brand.name or institution.name,
        brand.accent or ACCENT,
        brand.buy or BUY,
        brand.sell or SELL,
        bytes(brand.logo),
    )
