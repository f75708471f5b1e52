"""A bank's wallet service, as WALLET=http wants one: the port's contract (docs/wallet.md) as a program.

    python docs/wallet_service.py --port 8090 --data wallet.db --token secret

It keeps what customers have and what is reserved of it in SQLite, which survives `kill -9`; each request is
one transaction, recorded with its answer, so that the same request under the same key is answered alike. With
KAFKA_BROKERS it settles trades from `trade.events`. With `--faults` tests can tell it to misbehave. Needs
nothing but Python (and `confluent_kafka` for Kafka).
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation, localcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HOUSE = "house"  # the bank's own customer number, which fees go to
MOST_ITEMS, MOST_BYTES = 500, 1_000_000
KEEP_ANSWERS = 86_400  # seconds in which a request may be sent again
STALL = 30.0  # seconds, where a fault names none

SCHEMA = """
    CREATE TABLE IF NOT EXISTS balance (
        customer TEXT, asset TEXT, total TEXT NOT NULL, reserved TEXT NOT NULL, PRIMARY KEY (customer, asset));
    CREATE TABLE IF NOT EXISTS reservation (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL,
        consumed TEXT NOT NULL DEFAULT '0', released TEXT NOT NULL DEFAULT '0', state TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS settled (event_id TEXT PRIMARY KEY, problem TEXT NOT NULL, event TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS answer (
        key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, at REAL NOT NULL);
"""


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class Wallet:
    """Balances and reservations. Each public method is one transaction, or is called in one (`answered`)."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self._db.execute("DELETE FROM answer WHERE at < ?", [time.time() - KEEP_ANSWERS])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def answered(self, key: str, request: bytes, act: Callable[[], Any]) -> tuple[int, Any]:
        """What `act` gives, once: the same key is answered as it was the first time."""
        digest = hashlib.sha256(request).hexdigest()
        with self.transaction():
            row = self._one("SELECT request, status, body FROM answer WHERE key = ?", key)
            if row is None:
                body = act()
                values = (key, digest, 200, json.dumps(body), time.time())
                self._db.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?)", values)
                return 200, body
        if row[0] != digest:
            raise Refused(422, "key_reused", "this Idempotency-Key was used for another request")
        return row[1], json.loads(row[2])

    # Reservations

    def reserve(self, items: list[Any]) -> dict[str, Any]:
        return {"items": [self._reserve(item) for item in items]}

    def _reserve(self, item: Any) -> dict[str, str]:
        name, customer, asset = _texts(item, "reservation_id", "user", "asset")
        amount = _amount(item)
        if amount == 0:
            raise Refused(400, "invalid_request", "amount must be above zero")
        known = self._reservation(name)
        if known is not None:
            if known["state"] == "RELEASED":  # a release that overtook its reserve wins
                return {"reservation_id": name, "status": "REFUSED", "reason": "released"}
            if (known["user"], known["asset"], known["amount"]) == (customer, asset, _text(amount)):
                return {"reservation_id": name, "status": "HELD"}
            return {"reservation_id": name, "status": "REFUSED", "reason": "differs"}
        total, reserved = self._balance(customer, asset)
        if total - reserved < amount:
            return {"reservation_id": name, "status": "REFUSED", "reason": "insufficient_funds"}
        self._write(customer, asset, total, reserved + amount)
        values = (name, customer, asset, _text(amount), "HELD")
        self._db.execute(
            "INSERT INTO reservation (id, customer, asset, amount, state) VALUES (?, ?, ?, ?, ?)", values
        )
        return {"reservation_id": name, "status": "HELD"}

    def release(self, items: list[Any]) -> dict[str, Any]:
        return {"items": [self._release(item) for item in items]}

    def _release(self, item: Any) -> dict[str, str]:
        """The last word on a reservation: `amount` of it goes back, and the rest is what trades consume."""
        (name,), amount = _texts(item, "reservation_id"), _amount(item)
        known, done = self._reservation(name), {"reservation_id": name, "status": "RELEASED"}
        if known is None:  # it never came, or comes later: then it is refused
            self._db.execute(
                "INSERT INTO reservation (id, customer, asset, amount, state) VALUES (?, '', '', '0', 'RELEASED')",
                [name],
            )
            return done
        never = known["amount"] == "0"
        if known["state"] == "RELEASED" and (never or known["released"] == _text(amount)):
            return done
        if known["state"] == "RELEASED" or amount > Decimal(known["outstanding"]):
            return {"reservation_id": name, "status": "REFUSED", "reason": "differs"}
        total, reserved = self._balance(known["user"], known["asset"])
        self._write(known["user"], known["asset"], total, reserved - amount)
        self._db.execute(
            "UPDATE reservation SET released = ?, state = 'RELEASED' WHERE id = ?", [_text(amount), name]
        )
        return done

    # Money

    def deposit(self, items: list[Any]) -> dict[str, Any]:
        for each in items:
            customer, asset = _texts(each, "user", "asset")
            self._credit(customer, asset, _amount(each))
        return {}

    def settle(self, events: list[Any]) -> dict[str, Any]:
        """Trades as `trade.events` has them; each takes effect once, by its event_id."""
        return {"items": [self._settle(event) for event in events]}

    def _settle(self, event: Any) -> dict[str, str]:
        (name,) = _texts(event, "event_id")
        known = self._one("SELECT problem FROM settled WHERE event_id = ?", name)
        if known is not None and not known[0]:
            return {"event_id": name, "status": "KNOWN"}
        self._db.execute("SAVEPOINT trade")
        try:
            self._trade(event["payload"])
            problem = ""
        except (Refused, KeyError, TypeError, ValueError) as error:
            self._db.execute("ROLLBACK TO trade")
            problem = (
                f"{type(error).__name__}: {error}"  # kept for people: reconciliation shows it as unsettled
            )
        self._db.execute(
            "INSERT OR REPLACE INTO settled VALUES (?, ?, ?)", [name, problem, json.dumps(event)]
        )
        return {"event_id": name, "status": "REFUSED" if problem else "SETTLED", "reason": problem}

    def _trade(self, trade: dict[str, Any]) -> None:
        base, quote = trade["symbol"].split("/")
        quantity, fees = (
            Decimal(trade["quantity"]),
            (Decimal(trade["buyer_fee"]), Decimal(trade["seller_fee"])),
        )
        with localcontext(prec=80):
            notional = Decimal(trade["price"]) * quantity
        self._consume(trade["buyer_order_id"], trade["buyer_user_id"], quote, notional)
        self._consume(trade["seller_order_id"], trade["seller_user_id"], base, quantity)
        self._credit(trade["buyer_user_id"], base, quantity - fees[0])
        self._credit(trade["seller_user_id"], quote, notional - fees[1])
        self._credit(HOUSE, base, fees[0])
        self._credit(HOUSE, quote, fees[1])

    def _consume(self, name: str, customer: str, asset: str, amount: Decimal) -> None:
        known = self._reservation(name)
        if known is None or (known["user"], known["asset"]) != (customer, asset):
            raise Refused(409, "no_reservation", f"reservation {name} is not there, or is another's")
        if amount > Decimal(known["outstanding"]):
            raise Refused(409, "beyond", f"reservation {name} has {known['outstanding']} left, not {amount}")
        total, reserved = self._balance(customer, asset)
        self._write(customer, asset, total - amount, reserved - amount)
        consumed = _text(Decimal(known["consumed"]) + amount)
        self._db.execute("UPDATE reservation SET consumed = ? WHERE id = ?", [consumed, name])

    # Reads

    def balances(self, customer: str) -> dict[str, Any]:
        rows = self._db.execute("SELECT * FROM balance WHERE customer = ? ORDER BY asset", [customer])
        return {"items": [_balance_view(row) for row in rows]}

    def all_balances(self, after: str, limit: int) -> dict[str, Any]:
        customer, _, asset = after.partition(" ")
        sql = "SELECT * FROM balance WHERE (customer, asset) > (?, ?) ORDER BY customer, asset LIMIT ?"
        rows = [_balance_view(row) for row in self._db.execute(sql, [customer, asset, limit])]
        return {
            "items": rows,
            "next": f"{rows[-1]['user']} {rows[-1]['asset']}" if len(rows) == limit else None,
        }

    def reservations(self, after: str, limit: int, *, only_open: bool) -> dict[str, Any]:
        """By id. Open are those that are not released, or of which trades have still to consume some."""
        rows = self._db.execute("SELECT * FROM reservation WHERE id > ? ORDER BY id", [after])
        views = (_reservation_view(row) for row in rows)
        found = [
            view
            for view, _ in zip(
                (v for v in views if not only_open or v["state"] == "HELD" or v["outstanding"] != "0"),
                range(limit),
                strict=False,
            )
        ]
        return {"items": found, "next": found[-1]["reservation_id"] if len(found) == limit else None}

    def named(self, names: list[str]) -> dict[str, Any]:
        found = [self._reservation(name) for name in names]
        return {"items": [each for each in found if each is not None], "next": None}

    # Inside

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _reservation(self, name: str) -> dict[str, str] | None:
        row = self._one("SELECT * FROM reservation WHERE id = ?", name)
        return None if row is None else _reservation_view(row)

    def _balance(self, customer: str, asset: str) -> tuple[Decimal, Decimal]:
        sql = "SELECT total, reserved FROM balance WHERE customer = ? AND asset = ?"
        row = self._one(sql, customer, asset)
        return (Decimal(row[0]), Decimal(row[1])) if row else (Decimal(0), Decimal(0))

    def _credit(self, customer: str, asset: str, amount: Decimal) -> None:
        if amount:
            total, reserved = self._balance(customer, asset)
            self._write(customer, asset, total + amount, reserved)

    def _write(self, customer: str, asset: str, total: Decimal, reserved: Decimal) -> None:
        assert 0 <= reserved <= total, f"{asset}: {reserved} reserved of {total}"
        values = (customer, asset, _text(total), _text(reserved))
        self._db.execute("INSERT OR REPLACE INTO balance VALUES (?, ?, ?, ?)", values)


def _reservation_view(row: tuple[str, ...]) -> dict[str, str]:
    name, customer, asset, amount, consumed, released, state = row
    view = {"reservation_id": name, "user": customer, "asset": asset, "amount": amount}
    left = _text(Decimal(amount) - Decimal(consumed) - Decimal(released))
    return view | {"consumed": consumed, "released": released, "outstanding": left, "state": state}


def _balance_view(row: tuple[str, ...]) -> dict[str, str]:
    customer, asset, total, reserved = row
    available = _text(Decimal(total) - Decimal(reserved))
    return {"user": customer, "asset": asset, "available": available, "reserved": reserved}


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _amount(item: Any) -> Decimal:
    try:
        value = Decimal(_texts(item, "amount")[0])
    except InvalidOperation:
        raise Refused(400, "invalid_request", "amount must be a decimal") from None
    if not value.is_finite() or value < 0:
        raise Refused(400, "invalid_request", "amount must be a decimal, not below zero")
    return value


def _texts(item: Any, *names: str) -> list[str]:
    if not isinstance(item, dict) or not all(
        isinstance(item.get(name), str) and item[name] for name in names
    ):
        raise Refused(400, "invalid_request", f"an item must have the texts {', '.join(names)}")
    return [item[name] for name in names]


class Faults:
    """What tests have asked for: `{path, mode, count, seconds}`; mode is (error|drop|stall)_(before|after)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: list[dict[str, Any]] = []
        self._go_on = threading.Event()
        self.stalled = 0

    def order(self, fault: dict[str, Any]) -> None:
        with self._lock:
            self._go_on.clear()
            self._wanted.append({"count": 1, "seconds": STALL} | fault)

    def end(self) -> None:
        with self._lock:
            self._wanted.clear()
            self._go_on.set()

    def strike(self, path: str, moment: str) -> None:
        """Raises Refused or ConnectionAbortedError, or waits, if that was asked for."""
        with self._lock:
            found = next((f for f in self._wanted if f["path"] == path and f["mode"].endswith(moment)), None)
            if found is None:
                return
            found["count"] -= 1
            if not found["count"]:
                self._wanted.remove(found)
        match found["mode"].partition("_")[0]:
            case "error":
                raise Refused(500, "fault", "as was asked for")
            case "drop":
                raise ConnectionAbortedError
            case _:
                self.stalled += 1
                self._go_on.wait(found["seconds"])
                self.stalled -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds a kept-alive connection may be idle
    wallet: Wallet
    faults: Faults | None
    token: str

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self.close_connection = True
            self._send(413, {"code": "too_large", "detail": f"at most {MOST_BYTES} bytes"})
            return
        self._answer(self.rfile.read(length))

    def _answer(self, request: bytes) -> None:
        url = urlsplit(self.path)
        try:
            self._authorise()
            if self.faults is not None:
                self.faults.strike(url.path, "before")
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            status, body = (
                self._read(url.path, query) if self.command == "GET" else self._act(url.path, request)
            )
            if self.faults is not None:
                self.faults.strike(url.path, "after")
        except Refused as refused:
            status, body = refused.status, {"code": refused.code, "detail": refused.detail}
        except ConnectionAbortedError:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(status, body)

    def _authorise(self) -> None:
        given = self.headers.get("Authorization", "").encode()
        if self.token and not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise Refused(401, "unauthorised", "the bearer token is missing or wrong")

    def _read(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        after, limit = query.get("after", ""), query.get("limit", str(MOST_ITEMS))
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST_ITEMS:
            raise Refused(400, "invalid_request", f"limit must be 1 to {MOST_ITEMS}")
        with self.wallet.transaction():
            match path.split("/")[1:]:
                case ["v1", "health"]:
                    return 200, {"stalled": self.faults.stalled if self.faults else 0}
                case ["v1", "users", customer, "balances"]:
                    return 200, self.wallet.balances(unquote(customer))
                case ["v1", "balances"]:
                    return 200, self.wallet.all_balances(after, int(limit))
                case ["v1", "reservations"] if "ids" in query:
                    return 200, self.wallet.named(query["ids"].split(",")[:MOST_ITEMS])
                case ["v1", "reservations"]:
                    return 200, self.wallet.reservations(
                        after, int(limit), only_open=query.get("open") == "true"
                    )
        raise Refused(404, "not_found", f"{path} is not an address here")

    def _act(self, path: str, request: bytes) -> tuple[int, Any]:
        try:
            body = json.loads(request or b"{}")
        except ValueError:
            raise Refused(400, "invalid_request", "the body must be JSON") from None
        if self.faults is not None and path == "/v1/test/faults":
            self.faults.order(body)
            return 200, {}
        if self.faults is not None and path == "/v1/test/end":
            self.faults.end()
            return 200, {}
        acts = {
            "/v1/reserve-many": self.wallet.reserve,
            "/v1/release-many": self.wallet.release,
            "/v1/deposits": self.wallet.deposit,
            "/v1/settlements": self.wallet.settle,
        }
        if path not in acts:
            raise Refused(404, "not_found", f"{path} is not an address here")
        items = body.get("items") if isinstance(body, dict) else None
        if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
            raise Refused(400, "invalid_request", f"items must be a list of 1 to {MOST_ITEMS}")
        key = self.headers.get("Idempotency-Key", "")
        if not key:
            raise Refused(400, "key_missing", "send an Idempotency-Key")
        return self.wallet.answered(key, path.encode() + request, lambda: acts[path](items))

    def _send(self, status: int, body: Any) -> None:
        """Head and body in one packet: two would wait for each other's acknowledgement."""
        content = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self._headers_buffer.append(b"\r\n" + content)  # type: ignore[attr-defined]
        self.flush_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Who asks for what is nobody's business here."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # callers may leave; anything else is ours


def consume(wallet: Wallet, brokers: str, stop: threading.Event) -> None:
    """Settle trades from Kafka: first in the database, then the offset, so that none is left out."""
    from confluent_kafka import Consumer

    settings: dict[str, Any] = {
        "bootstrap.servers": brokers,
        "group.id": "wallet",
        "enable.auto.commit": False,
    }
    settings |= {"auto.offset.reset": "earliest", "session.timeout.ms": 6000}  # soon back after a kill
    consumer = Consumer(settings)
    consumer.subscribe(["trade.events"])
    while not stop.is_set():
        messages = [each for each in consumer.consume(MOST_ITEMS, 0.5) if each.error() is None]
        if messages:
            events = [json.loads(message.value() or b"{}") for message in messages]
            with wallet.transaction():
                wallet.settle([event for event in events if event.get("event_type") == "TRADE_EXECUTED"])
            consumer.commit(asynchronous=False)
    consumer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", required=True, metavar="FILE", help="made if it is not there")
    parser.add_argument("--token", default="", help="which callers must bear; empty: none")
    parser.add_argument("--faults", action="store_true", help="obey /v1/test/faults: for tests only")
    options = parser.parse_args()
    wallet, stop = Wallet(options.data), threading.Event()
    Handler.wallet, Handler.token = wallet, options.token
    Handler.faults = Faults() if options.faults else None
    server = Server(("127.0.0.1", options.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if brokers := os.environ.get("KAFKA_BROKERS", ""):
        consume(wallet, brokers, stop)
    else:
        stop.wait()
    server.shutdown()


if __name__ == "__main__":
    main()
