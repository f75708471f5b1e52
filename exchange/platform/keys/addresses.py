"""The networks a key may be used from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

MOST = 50


class Wrong(ValueError):
    """Says what would be right."""


def read(text: str) -> str:
    """An address or network in its one form: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32. Raises Wrong."""
    given = text.strip()
    try:
        network = ip_network(given, strict=False)
    except ValueError:
        raise Wrong(
            "must be an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
        ) from None
    if isinstance(network, IPv6Network) and "%" in given:
        raise Wrong("must have no zone: leave out what follows the % sign")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise Wrong("must be written as the IPv4 address that it stands for")
    if not network.prefixlen:
        raise Wrong("would allow every address: leave the list empty instead")
    if "/" in given and ip_address(given.partition("/")[0]) != network.network_address:
        raise Wrong(f"must be {network}: behind its {network.prefixlen} bits it has no others")
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def allows(allowed: Sequence[Network], address: str) -> bool:
    """No network at all allows every address; an address that we do not know is in none."""
    if not allowed:
        return True
    if not address:
        return False
    caller = ip_address(address)
    return any(caller.version == network.version and caller in network for network in allowed)
