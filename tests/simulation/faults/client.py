"""A plain HTTP client: one kept-alive connection to the web process, JSON in and out."""

from __future__ import annotations

import http.client
import json
from http import HTTPStatus
from typing import Any

TIMEOUT = 10.0  # seconds for one answer

CutOff = (OSError, http.client.HTTPException)  # no whole answer: nothing is known


class Client:
    def __init__(self, port: int, email: str, password: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._credentials = {"email": email, "password": password}
        self.token = ""

    def sign_in(self) -> int:
        """The answer's status; 200: calls are made with a new token from now on. Raises CutOff."""
        status, body = self.call("POST", "auth/token", self._credentials)
        if status == HTTPStatus.OK:
            self.token = body["access"]
        return status

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body. Raises CutOff."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, f"/api/v1/{path}", content, headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except BaseException:
            self._connection.close()
            raise
        is_json = answer.headers.get_content_type().endswith("json")
        return answer.status, json.loads(data) if is_json else {"text": data.decode(errors="replace")}

    def close(self) -> None:
        self._connection.close()
