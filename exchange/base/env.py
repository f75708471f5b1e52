"""The only reader of the environment: typed settings that fail at start, with a line that names the variable.

Each field is the environment variable of the same name in capitals. What an embedded installation wrote to
`EXCHANGE_HOME/env` (KEY=VALUE lines) is read too; the environment itself wins.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Literal, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Environment(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: str = Field(description="postgresql://user:password@host:port/name")
    redis_url: str = Field(description="redis://host:port/0 or unix:///path")
    secret_key: str = Field(min_length=32, description="at least 32 random characters")
    jwt_private_key_file: Path | None = Field(None, description="PEM file with the RSA key that signs tokens")

    exchange_data_keys: str = Field(
        "",
        description="name:key,name:key; 32 bytes each in base64; the first one seals personal data, all open it; "
        "empty: one derived from SECRET_KEY",
    )
    exchange_kyc_level: int = Field(
        1, ge=0, le=3, description="KYC level of users who have none of their own"
    )
    exchange_withdrawal_review: str = Field(
        "BTC=1,ETH=10,USDT=50000,TRY=1000000",
        pattern=r"^$|^[A-Z0-9]+=[0-9]+(\.[0-9]+)?(,[A-Z0-9]+=[0-9]+(\.[0-9]+)?)*$",
        description="ASSET=AMOUNT,…: a withdrawal that is above it, with its user's others of 24 hours, takes a second "
        "person; of an asset that is not named, any",
    )

    exchange_approval_hours: int = Field(
        72, ge=1, le=8760, description="how long a request waits for the second person"
    )

    exchange_home: Path = Path(".exchange")
    exchange_archive: Path | None = Field(
        None, description="where `retention` writes its files; empty: archive in EXCHANGE_HOME"
    )
    exchange_demo: bool = False
    exchange_simulate: bool = Field(False, description="true trades the demo market in `make up`")
    exchange_debug: bool = False
    exchange_bind: str = "127.0.0.1"
    exchange_http_port: int = Field(8080, ge=1, le=65535)
    exchange_ws_port: int = Field(8081, ge=1, le=65535)
    exchange_stream_url: str = Field(
        "",
        pattern=r"^$|^wss?://[^\s;,]+$",
        description="where browsers reach the stream, such as wss://stream.bank.example/stream",
    )
    exchange_metrics_port: int = Field(9090, ge=1, le=65000)
    exchange_allowed_hosts: str = "localhost,.localhost,127.0.0.1,[::1]"
    exchange_web_workers: int = Field(1, ge=1, le=64)
    exchange_web_threads: int = Field(32, ge=1, le=512)
    exchange_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    exchange_price_ws_url: str = Field(
        "wss://stream.binance.com:9443",
        pattern="^(wss?://.+)?$",
        description="ws:// or wss://; empty: not used",
    )
    exchange_price_rest_url: str = Field(
        "https://api.binance.com",
        pattern="^(https?://.+)?$",
        description="http:// or https://; empty: not used",
    )
    exchange_price_ws_patience: float = Field(
        5.0, gt=0, description="seconds without a frame until a price of the stream is stale"
    )
    exchange_price_rest_patience: float = Field(
        5.0, gt=0, description="seconds without an answer until a polled price is stale"
    )
    exchange_price_settle: float = Field(
        5.0, ge=0, description="seconds that a better source must be fresh to have the word again"
    )
    exchange_price_jump: Decimal = Field(
        Decimal("0.2"),
        gt=0,
        description="a change between two prices that must last to be believed; 0.2 is 20 %",
    )

    exchange_events: Literal["on", "off"] = Field(
        "on", description="off: `make up` starts neither Kafka nor the processes of events"
    )
    exchange_outbox_hours: int = Field(
        168, ge=1, description="how long published events stay at least, to be sent again if Kafka loses them"
    )
    kafka_brokers: str = Field(
        "", description="host:port,host:port; empty: events stay in the outbox until there is one"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_ca_file: Path | None = Field(
        None, description="PEM file with the authorities that sign the brokers'"
    )
    kafka_partitions: int = Field(6, ge=1, le=1000, description="of each topic that we create")
    kafka_replication: int = Field(1, ge=1, le=9, description="copies of each topic that we create")
    kafka_retention_hours: int = Field(720, ge=1, description="of each topic that we create")

    wallet: Literal["ledger", "http"] = Field(
        "ledger", description="http: a wallet service of the bank's own holds the funds"
    )
    wallet_url: str = Field(
        "", pattern="^(https?://.+)?$", description="where that service answers", validate_default=True
    )
    wallet_token: str = Field("", description="bearer token for it")
    wallet_timeout: float = Field(1.0, gt=0, description="seconds to wait for one answer of it")

    email_url: str = Field(
        "",
        pattern=r"^(smtps?://[^?]+(\?starttls=(true|false))?)?$",
        description="smtp(s)://user:password@host:port[?starttls=true]; empty: to the console",
    )
    email_from: str = "exchange@localhost"
    sms_url: str = Field("", pattern="^(https?://.+)?$", description="gateway for SMS; empty: to the console")
    sms_token: str = Field("", description="bearer token for it")

    exchange_books_folder: Path | None = Field(
        None, description="where closed days and proofs are written; else `books` in EXCHANGE_HOME"
    )
    exchange_books_key_file: Path | None = Field(
        None, description="PEM file with the Ed25519 or RSA key that signs them; else JWT_PRIVATE_KEY_FILE"
    )
    exchange_day_zone: str = Field("UTC", description="time zone of a business day, such as Europe/Istanbul")

    exchange_order_timeout: float = Field(
        2.0, gt=0, description="seconds to wait for the matcher before a 202"
    )
    exchange_order_rate: int = Field(
        10, ge=1, description="orders a second and user, where nothing else is set"
    )

    exchange_staff_idle_minutes: int = Field(
        30, ge=1, description="minutes without a click after which the staff sign in again"
    )
    exchange_staff_hours: int = Field(
        12, ge=1, le=168, description="hours after which the staff sign in again, busy or not"
    )
    exchange_staff_sessions: int = Field(3, ge=1, description="back-office sessions of one person at a time")
    exchange_sign_in_failures: int = Field(
        10, ge=1, description="wrong passwords or codes for an e-mail from an address until it is locked out"
    )
    exchange_sign_in_cool_off_minutes: int = Field(
        15, ge=1, description="minutes without another try until it is not any more"
    )

    exchange_ws_per_address: int = Field(100, ge=1, description="WebSocket connections of one address")
    exchange_ws_per_user: int = Field(20, ge=1, description="WebSocket connections signed in as one user")
    exchange_ws_subscriptions: int = Field(100, ge=1, description="channels of one WebSocket connection")
    exchange_ws_forwarded_header: str = Field(
        "", description="the same for the stream, where its proxy sets another than EXCHANGE_FORWARDED_HEADER"
    )
    exchange_forwarded_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="header with the client's address, where a proxy of yours sets it: X-Forwarded-For",
    )
    exchange_forwarded_hops: int = Field(
        1, ge=1, le=10, description="how many proxies of yours add to that header, one after the other"
    )

    @field_validator("wallet_url")
    @classmethod
    def _wallet_has_an_address(cls, url: str, others: ValidationInfo) -> str:
        if not url and others.data.get("wallet") == "http":
            raise ValueError("WALLET=http needs it")
        return url

    @field_validator("exchange_data_keys")
    @classmethod
    def _data_keys_are_keys(cls, text: str) -> str:
        data_keys(text)
        return text

    @field_validator("exchange_day_zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, ZoneInfoNotFoundError):
            raise ValueError("no time zone has this name") from None
        return zone


def data_keys(text: str) -> list[tuple[str, bytes]]:
    """Names and secrets of EXCHANGE_DATA_KEYS. Raises ValueError, whose text has no secret."""
    found: list[tuple[str, bytes]] = []
    for place, part in enumerate(filter(None, (each.strip() for each in text.split(","))), 1):
        name, colon, coded = part.partition(":")
        if not colon or not re.fullmatch("[A-Za-z0-9_-]{1,20}", name):
            raise ValueError(f"key {place} must be name:base64, its name 1 to 20 letters, digits, - or _")
        try:
            secret = base64.b64decode(coded, validate=True)
        except binascii.Error:
            raise ValueError(f"key {name!r} is not base64") from None
        if len(secret) != 32:
            raise ValueError(f"key {name!r} must be 32 bytes, not {len(secret)}: openssl rand -base64 32")
        if name == "local" or name in dict(found):
            raise ValueError(f"the name {name!r} is taken: give each key a name of its own")
        found.append((name, secret))
    return found


def _explain(error: ValidationError) -> NoReturn:
    for problem in error.errors():
        name = str(problem["loc"][0]).upper()
        field = Environment.model_fields.get(name.lower())
        hint = f" ({field.description})" if field and field.description else ""
        what = "is not set" if problem["type"] == "missing" else f"is wrong: {problem['msg']}"
        sys.stderr.write(f"{name} {what}{hint}\n")
    raise SystemExit(2)


def _load() -> Environment:
    home = Path(os.environ.get("EXCHANGE_HOME") or Environment.model_fields["exchange_home"].default)
    try:
        return Environment(_env_file=home / "env")  # type: ignore[call-arg]
    except ValidationError as error:
        _explain(error)


env = _load()
