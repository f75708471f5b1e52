"""The load: sends prepared requests over keep-alive connections, one at a time on each; measures the answers.

    python -I -S load.py < plan.json

A process of its own, so that its processor time is counted apart; standard library only and no parsing beyond
what an answer's length needs, because it shares the machine with what it measures. It knows HTTP and nothing
of orders: a lane (connection) repeats its requests, and each `%010d` in one becomes a number that the lane
has not used before. See `Plan` for the input. Prints one JSON object a line: {"event": "measuring"} and
{"event": "measured"} at the ends of the measured window, then the result (`Load.result`).

Known limitations: an answer must have a Content-Length; a request that does not fit the socket's buffer at
once holds up the other lanes while it is sent.
"""

from __future__ import annotations

import gc
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from typing import Any, NamedTuple

NUMBER = "%010d"
STALL_SECONDS = 30.0  # without any answer
SAMPLE_EVERY = 100  # the first of so many answers of a lane is decoded
KEPT_SAMPLES = 3  # wrong answers that are shown
TOO_MANY_ERRORS = 1000
BUFFER = 1 << 18
LATE_SECONDS = 0.1  # what a bounded rate makes up for


class Plan(NamedTuple):
    """What to send, how long, and what a right answer is.

    Without `requests` the run ends `warm_up` and `seconds` (which are measured) after it began, with them
    after so many, all of which are measured. `rate` is the most requests a second, 0 as many as it takes. A right
    answer has the `status`, contains `mark` exactly `marks`
    times and, looked at in samples, is an object with `fields`.
    """

    host: str
    port: int
    lanes: list[list[str]]
    status: int
    mark: str
    marks: int
    fields: list[str]
    warm_up: float
    seconds: float
    requests: int
    rate: float = 0.0


class Lane:
    """One connection and the requests it repeats."""

    __slots__ = ("_address", "_data", "_need", "_number", "_shots", "_turn", "answers", "sent_at", "socket")

    def __init__(self, address: tuple[str, int], texts: list[str]) -> None:
        self._address = address
        self._shots = [(text.encode(), text.count(NUMBER)) for text in texts]
        self._turn = self._number = self.answers = 0
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(self._address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self) -> None:
        """Send the next request. Raises OSError."""
        shot, numbers = self._shots[self._turn]
        self._turn = (self._turn + 1) % len(self._shots)
        if numbers:
            shot %= tuple(range(self._number, self._number + numbers))
            self._number += numbers
        self._data, self._need = b"", 0
        self.sent_at = time.perf_counter()
        sent = self.socket.send(shot)
        if sent < len(shot):
            self.socket.settimeout(STALL_SECONDS)
            self.socket.sendall(shot[sent:])
            self.socket.setblocking(False)

    def receive(self) -> bytes | None:
        """Take what has come; the answer when it is complete. Raises OSError."""
        chunk = self.socket.recv(BUFFER)
        if not chunk:
            raise ConnectionResetError("closed")
        data = self._data = self._data + chunk if self._data else chunk
        if not self._need:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = data[: end + 2].lower()
            at = head.index(b"content-length:") + 15
            self._need = end + 4 + int(head[at : head.index(b"\r", at)])
        return data if len(data) >= self._need else None


class Load:
    """Runs a plan, once. Latencies are in seconds, of right answers in the window."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._status, self._mark = b"%d" % plan.status, plan.mark.encode()
        self._latencies: list[float] = []
        self._errors: Counter[str] = Counter()
        self._samples: list[str] = []
        self._sent = self._right = self._waiting = 0
        self._sending, self._measuring = True, False
        self._seconds = self._cpu = 0.0
        self._idle: deque[Lane] = deque()  # answered, and waiting for their turn in the rate
        self._due = time.perf_counter()
        self._selector = selectors.DefaultSelector()
        self._lanes = [Lane((plan.host, plan.port), texts) for texts in plan.lanes]
        for lane in self._lanes:
            self._selector.register(lane.socket, selectors.EVENT_READ, lane)

    def run(self) -> None:
        plan, now = self._plan, time.perf_counter
        begins = now() + plan.warm_up
        ends = float("inf") if plan.requests else begins + plan.seconds
        for lane in self._lanes:
            self._send(lane)
        while self._waiting or (self._sending and self._idle):
            moment = now()
            if self._sending and not self._measuring and moment >= begins:
                self._begin()
            if moment >= ends or self._errors.total() > TOO_MANY_ERRORS:
                self._end()
            self._send_due()
            change = ends if self._measuring else begins
            if self._idle:
                change = min(change, self._due)
            ready = self._selector.select(
                min(STALL_SECONDS, max(0.0, change - moment)) if self._sending else STALL_SECONDS
            )
            if not ready and self._waiting and now() - moment >= STALL_SECONDS:
                self._errors["no answer"] += self._waiting
                break
            for key, _ in ready:
                self._take(key.data)
        self._end()

    def result(self) -> dict[str, Any]:
        """`requests` are the right answers of the window, `right` are those of the whole run."""
        ordered = sorted(self._latencies)
        points = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        last = len(ordered) - 1
        return {
            "requests": len(ordered),
            "right": self._right,
            "seconds": self._seconds,
            "cpu_seconds": self._cpu,
            "latency_ms": {name: 1000 * ordered[round(last * part)] for name, part in points.items()}
            if ordered
            else {},
            "errors": dict(self._errors),
            "samples": self._samples,
        }

    def _begin(self) -> None:
        self._measuring = True
        self._seconds, self._cpu = -time.perf_counter(), -time.process_time()
        say({"event": "measuring"})

    def _end(self) -> None:
        self._sending = False
        if self._measuring:
            self._measuring = False
            self._seconds += time.perf_counter()
            self._cpu += time.process_time()
            say({"event": "measured"})

    def _send(self, lane: Lane) -> None:
        if not self._sending or (self._plan.requests and self._sent >= self._plan.requests):
            return
        if self._plan.rate and time.perf_counter() < self._due:
            self._idle.append(lane)
            return
        if self._plan.rate:
            self._due = max(self._due, time.perf_counter() - LATE_SECONDS) + 1 / self._plan.rate
        self._sent += 1
        self._waiting += 1
        lane.send()

    def _send_due(self) -> None:
        while self._idle and self._sending and time.perf_counter() >= self._due:
            self._send(self._idle.popleft())

    def _take(self, lane: Lane) -> None:
        try:
            answer = lane.receive()
        except OSError as error:
            self._wrong(type(error).__name__, b"")
            self._selector.unregister(lane.socket)
            lane.socket.close()
            lane.connect()
            self._selector.register(lane.socket, selectors.EVENT_READ, lane)
        else:
            if answer is None:
                return
            if self._is_right(lane, answer):
                self._right += 1
                if self._measuring:
                    self._latencies.append(time.perf_counter() - lane.sent_at)
        self._waiting -= 1
        self._send(lane)

    def _is_right(self, lane: Lane, answer: bytes) -> bool:
        lane.answers += 1
        if answer[9:12] != self._status:
            self._wrong(f"status {answer[9:12].decode()}", answer)
        elif self._mark and answer.count(self._mark) != self._plan.marks:
            self._wrong(f"not {self._plan.marks} times {self._plan.mark}", answer)
        elif lane.answers % SAMPLE_EVERY == 1 and not self._has_fields(answer):
            self._wrong(f"not an object with {', '.join(self._plan.fields)}", answer)
        else:
            return True
        return False

    def _has_fields(self, answer: bytes) -> bool:
        try:
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
        except ValueError:
            return False
        return isinstance(body, dict) and body.keys() >= set(self._plan.fields)

    def _wrong(self, kind: str, answer: bytes) -> None:
        self._errors[kind] += 1
        if len(self._samples) < KEPT_SAMPLES:
            self._samples.append(answer.partition(b"\r\n\r\n")[2][:500].decode(errors="replace"))


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    load = Load(Plan(**json.load(sys.stdin)))
    gc.disable()  # nothing here makes cycles
    load.run()
    say(load.result())


if __name__ == "__main__":
    main()
