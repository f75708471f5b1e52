"""API keys for tests: the client in docs, and requests that Django's test client sends signed by it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

DOCUMENT = settings.BASE_DIR / "docs" / "api_keys.md"
CLIENT = settings.BASE_DIR / "docs" / "api_key_client.py"


def load_client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_key_client", CLIENT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Program:
    """Signs with the client in docs, sends with Django's. `headers` are of the request that was signed last, so that
    it can be sent again."""

    def __init__(self, key_id: str, sign: Any, *, window: int = 5000, address: str = "127.0.0.1") -> None:
        self.address = address
        self.headers: dict[str, str] = {}
        self.client = load_client().Client("", key_id, sign, window=window)

    def sign(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        self.headers = self.client.headers(method, target, body)
        return self.headers

    def send(self, method: str, target: str, content: Any = None) -> Any:
        body = b"" if content is None else json.dumps(content).encode()
        self.sign(method, target, body)
        return self.again(method, target, body)

    def again(
        self, method: str, target: str, body: bytes = b"", change: Mapping[str, str] | None = None
    ) -> Any:
        """With the headers of before, and those of `change` in their place."""
        parts = urlsplit(target)
        return Client(REMOTE_ADDR=self.address).generic(
            method,
            parts.path,
            body,
            "application/json" if body else "",
            headers=self.headers | dict(change or {}),
            QUERY_STRING=parts.query.encode().decode("latin-1"),  # as WSGI has it
        )
