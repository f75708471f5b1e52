"""TCP ports: is one taken, which are free."""

from __future__ import annotations

import random
import socket

# Below the range from which systems pick ports of outgoing connections (Linux: 32768, IANA: 49152).
_FIRST, _LAST = 20_000, 32_000


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host`, `port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def find_free(host: str = "127.0.0.1", count: int = 1) -> int:
    """The first of `count` free ports in a row."""
    for _ in range(1000):
        first = random.randrange(_FIRST, _LAST - count)  # noqa: S311 - no secret
        if all(is_free(host, port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} free ports in a row between {_FIRST} and {_LAST}")


def reachable(bind: str) -> str:
    """How a URL on this machine names a server that listens on the address `bind`."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - compared, not bound
    return f"[{address}]" if ":" in address else address
