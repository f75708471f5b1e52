"""New assets, markets, groups and institutions, on record. All are live at once: nothing has to be restarted.

Processes that trade read what there is each second, matchers too; a new market's matcher is the one of its group.
A new group needs a matcher of its own (`manage.py up` starts one by itself).
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from exchange.platform.audit import log as audit
from exchange.platform.members.models import Institution, InstitutionHost
from matching.models import SymbolGroup
from trading.models import Asset, Instrument
from trading.reference.catalog import catalog


def create_asset(*, code: str, name: str, scale: int, by: str) -> Asset:
    """Each raises ValidationError, and needs an open transaction."""
    asset = Asset(code=code, name=name, scale=scale)
    return _created(asset, f"asset/{code}", by, {"name": name, "scale": scale})


def create_group(*, name: str, by: str) -> SymbolGroup:
    return _created(SymbolGroup(name=name), f"group/{name}", by, {})


def create_instrument(*, symbol: str, by: str, **terms: Any) -> Instrument:
    """`terms` are fields of Instrument; base and quote go by the symbol. Without a group it is given one."""
    base, _, quote = symbol.partition("/")
    assets = {asset.code: asset for asset in Asset.objects.filter(code__in=[base, quote])}
    if missing := [code for code in (base, quote) if code not in assets]:
        raise ValueError(f"{symbol}: there is no asset {', '.join(repr(code) for code in missing)}")
    instrument = Instrument(symbol=symbol, base=assets[base], quote=assets[quote], **terms)
    shown = {name: str(value) for name, value in terms.items() if value is not None}
    return _created(instrument, f"market/{symbol}", by, shown)


def create_institution(*, code: str, name: str, hosts: list[str], by: str) -> Institution:
    institution = Institution(code=code, name=name)
    institution = _created(institution, f"institution/{code}", by, {"name": name, "hosts": hosts})
    for host in hosts:
        found = InstitutionHost(host=host, institution=institution)
        found.full_clean()
        found.save()
    return institution


def _created(row: Any, resource: str, by: str, terms: dict[str, Any]) -> Any:
    assert connection.in_atomic_block, "a row and its record commit together"
    row.full_clean()
    row.save()
    catalog.clear_cache()
    kind = resource.partition("/")[0]
    audit.record(action=f"{kind}.create", resource=resource, actor=by, new=terms)
    return row
