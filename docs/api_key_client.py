"""Sends requests signed with an API key: a whole client in one file, to be used or copied.

    export API_KEY=0197…  API_SECRET=…          # or, of an Ed25519 key, API_PRIVATE_KEY=private.pem
    python docs/api_key_client.py http://127.0.0.1:8080 GET /api/v1/balances
    python docs/api_key_client.py http://127.0.0.1:8080 GET "/api/v1/orders?status=OPEN&limit=5"
    python docs/api_key_client.py http://127.0.0.1:8080 POST /api/v1/orders \
        '{"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "0.1", "price": "50000",
          "client_order_id": "a-1"}'

What is signed is in `canonical`; `docs/api_keys.md` explains it. Needs nothing but Python, and for Ed25519 the package
`cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

WINDOW = 5000  # ms after its timestamp that a request may still arrive
TIMEOUT = 10.0  # seconds

Sign = Callable[[bytes], str]


class Refused(Exception):
    """An answer other than 2xx, as RFC 9457 has it. `code` is stable and meant for programs."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        self.code = str(problem.get("code", ""))
        super().__init__(f"{status} {self.code}: {problem.get('detail', '')}")


def canonical(method: str, path: str, query: str, body: bytes, timestamp: int, window: int) -> bytes:
    """The text that is signed: six lines. `path` and `query` are as they are sent."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join([method, path, query, digest, str(timestamp), str(window)]).encode()


def hmac_sha256(secret: str) -> Sign:
    """The key of the HMAC is the secret's own characters; nothing is decoded."""
    return lambda message: hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def ed25519(private_pem: bytes) -> Sign:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("this is no Ed25519 key")
    return lambda message: base64.b64encode(key.sign(message)).decode()


class Clock:
    """Milliseconds since 1970 by the exchange's clock, never the same twice: two requests that are alike would
    have the same signature, and the second would be refused as a replay. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self.ahead = 0  # of this machine's clock

    def next(self) -> int:
        with self._lock:
            self._last = max(time.time_ns() // 1_000_000 + self.ahead, self._last + 1)
            return self._last

    def set(self, server_time: int) -> None:
        with self._lock:
            self.ahead = server_time - time.time_ns() // 1_000_000
            self._last = 0


class Client:
    def __init__(self, url: str, key_id: str, sign: Sign, *, window: int = WINDOW) -> None:
        self.url = url.rstrip("/")
        self.key_id = key_id
        self.window = window
        self.clock = Clock()
        self._sign = sign

    def headers(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        """For one request. `target` is path and query, as they are sent."""
        parts = urlsplit(target)
        timestamp = self.clock.next()
        message = canonical(method, parts.path, parts.query, body, timestamp, self.window)
        return {
            "X-API-Key": self.key_id,
            "X-API-Timestamp": str(timestamp),
            "X-API-Window": str(self.window),
            "X-API-Signature": self._sign(message),
        }

    def stream_auth(self) -> dict[str, Any]:
        """The message that signs a WebSocket connection in: what is signed is GET /stream."""
        signed = self.headers("GET", "/stream")
        return {
            "type": "AUTH",
            "api_key": self.key_id,
            "timestamp": int(signed["X-API-Timestamp"]),
            "window": self.window,
            "signature": signed["X-API-Signature"],
        }

    def request(self, method: str, target: str, content: Any = None) -> Any:
        """The answer's JSON. A clock that is off is set by the exchange's and the request signed again; what has
        reached the exchange is never sent twice. Raises Refused; OSError if there was no answer."""
        body = b"" if content is None else json.dumps(content).encode()
        try:
            return self._send(method, target, body)
        except Refused as refused:
            if refused.code != "timestamp_outside_window":
                raise
            self.clock.set(refused.problem["server_time"])
            return self._send(method, target, body)

    def _send(self, method: str, target: str, body: bytes) -> Any:
        headers = {"Accept": "application/json", **self.headers(method, target, body)}
        if body:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + target, body or None, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _problem(error.read())) from None


def _problem(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": text.decode(errors="replace")[:200]}


def of_environment(url: str) -> Client:
    """With the key that the environment names."""
    private = os.environ.get("API_PRIVATE_KEY")
    if private:
        with open(private, "rb") as file:
            sign = ed25519(file.read())
    else:
        sign = hmac_sha256(os.environ["API_SECRET"])
    return Client(url, os.environ["API_KEY"], sign)


def main(arguments: list[str]) -> int:
    if len(arguments) not in (3, 4) or "API_KEY" not in os.environ:
        sys.stderr.write(__doc__ or "")
        return 2
    url, method, target = arguments[:3]
    content = json.loads(arguments[3]) if len(arguments) == 4 else None
    try:
        answer = of_environment(url).request(method, target, content)
    except (Refused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(answer, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
