"""A statement as ISO 20022 camt.053 (BankToCustomerStatement), any of its versions.

What of a message is read, with the tags of the standard (camt.053.001.02 to .13 agree on them):

    Stmt        Acct/Id/IBAN or Othr/Id, Acct/Ccy, Bal (OPBD or PRCD, CLBD)
    Ntry        Amt, CdtDbtInd, Sts (BOOK alone counts; a code of its own element since .08), BookgDt or ValDt, NtryRef,
                AcctSvcrRef
    TxDtls      Refs, AmtDtls/TxAmt or Amt, RmtInf; an entry of several payments counts as these where their amounts
                add up to its own

`CdtDbtInd` says which way money went, in a reversal too. Entities, DTDs and outside references are refused
(defusedxml). An entry is dropped when it has been read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from trading.books import bank_statement as statement
from trading.books.bank_statement import Line, Reading, StatementError, Summary

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.\d\d")
SIGNS = {"CRDT": 1, "DBIT": -1}
OPENING, CLOSING = ("OPBD", "PRCD"), ("CLBD",)
REFERENCES = (
    "EndToEndId",
    "InstrId",
    "TxId",
    "AcctSvcrRef",
    "PmtInfId",
    "UETR",
    "ClrSysRef",
    "MndtId",
    "ChqNb",
)


@dataclass
class _Open:
    """A statement that is being read."""

    where: str
    account: str = ""
    currency: str = ""
    balances: dict[str, Decimal] = field(default_factory=dict)
    entries: int = 0
    lines: int = 0
    pending: int = 0
    total: Decimal = Decimal(0)

    def summary(self) -> Summary:
        opening = next((self.balances[code] for code in OPENING if code in self.balances), None)
        closing = next((self.balances[code] for code in CLOSING if code in self.balances), None)
        return Summary(
            self.where, self.account, self.currency, self.lines, opening, closing, self.total, self.pending
        )


def read(path: Path, currency: str, account: str = "") -> Reading:
    """Lines of the statements in `currency`, of one account if it is named, each followed by its summary. Others are
    passed over."""
    try:
        with path.open("rb") as file:
            yield from _statements(
                iterparse(file, events=("start", "end"), forbid_dtd=True), currency, account
            )
    except ParseError as error:
        line, column = error.position
        raise StatementError(
            f"line {line}, column {column}", f"no XML: {str(error).split(':')[0]}"
        ) from error
    except DefusedXmlException as error:
        raise StatementError(str(path), "it has a DTD or entities, which no statement needs") from error


def _statements(events: Iterator[tuple[str, Element]], currency: str, account: str) -> Reading:
    number = 0
    current: _Open | None = None
    parents: list[Element] = []
    for event, element in events:
        tag = _tag(element)
        if event == "start":
            if not parents:
                _check_root(element)
            if len(parents) == 1 and tag != "BkToCstmrStmt":
                raise StatementError("", f"no camt.053: Document has {tag}, it must be BkToCstmrStmt")
            if tag == "Stmt" and len(parents) == 2:
                number += 1
                current = _Open(f"statement {number}")
            parents.append(element)
            continue
        parents.pop()
        if current is None or len(parents) < 2:
            continue
        if len(parents) == 3 and tag in ("Acct", "Bal", "Ntry"):
            yield from _part(current, tag, element, currency, account)
            parents[-1].remove(element)
        elif len(parents) == 2 and tag == "Stmt":
            if _wanted(current, currency, account):
                yield current.summary()
            parents[-1].remove(element)
            current = None
    if not number:
        raise StatementError("", "there is no statement in it (Document/BkToCstmrStmt/Stmt)")


def _part(current: _Open, tag: str, element: Element, currency: str, account: str) -> Iterator[Line]:
    if tag == "Acct":
        current.account = _text(element, "Id/IBAN") or _text(element, "Id/Othr/Id")
        current.currency = _text(element, "Ccy")
    elif tag == "Bal":
        code = _text(element, "Tp/CdOrPrtry/Cd")
        amount, current.currency = _amount(element, current.where, current.currency)
        if (
            code not in OPENING or code not in current.balances
        ):  # of several days: the first opening, the last closing
            current.balances[code] = amount
    else:
        current.entries += 1
        where = f"{current.where}, entry {current.entries}"
        amount, current.currency = _amount(element, where, current.currency)
        if not _wanted(current, currency, account):
            return
        status = _text(element, "Sts/Cd") or _text(element, "Sts")
        if status not in ("BOOK", "PDNG", "INFO", "FUTR"):
            raise StatementError(
                where, f"status {statement.shortened(status)}: it must be BOOK, PDNG, INFO or FUTR"
            )
        if status != "BOOK":
            current.pending += 1
            return
        current.total += amount
        for line in _lines(element, where, amount):
            current.lines += 1
            yield line


def _lines(entry: Element, where: str, amount: Decimal) -> Iterator[Line]:
    text = _first(entry, ("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"))
    if not text:
        raise StatementError(where, "neither BookgDt nor ValDt: when was it booked?")
    day = statement.day(text, where, "date")
    own = [_text(entry, "NtryRef"), _text(entry, "AcctSvcrRef")]
    details = _all(entry, "NtryDtls/TxDtls")
    parts = [_part_amount(each, where) for each in details]
    if len(details) > 1 and all(part is not None for part in parts):
        sign = 1 if amount > 0 else -1
        amounts = [abs(part) * sign for part in parts if part is not None]
        if sum(amounts) != amount:
            raise StatementError(where, f"its payments sum to {sum(amounts)}, the entry is {amount}")
        for number, (each, part) in enumerate(zip(details, amounts, strict=True), 1):
            yield _line(f"{where}, payment {number}", day, part, _references(each), _remittance(each))
        return
    references = own + [name for each in details for name in _references(each)]
    texts = " ".join([_text(entry, "AddtlNtryInf"), *map(_remittance, details)])
    yield _line(where, day, amount, references, texts)


def _line(where: str, day: date, amount: Decimal, references: list[str], text: str) -> Line:
    shown = next((each for each in references if each and each != "NOTPROVIDED"), text.strip()[:70])
    return Line(where, day, amount, statement.names(references), statement.words(text), shown)


def _references(details: Element) -> list[str]:
    found = [_text(details, f"Refs/{tag}") for tag in REFERENCES]
    return [*found, *(_content(each) for each in _all(details, "Refs/Prtry/Ref")),
            *(_content(each) for each in _all(details, "RmtInf/Strd/CdtrRefInf/Ref"))]  # fmt: skip


def _remittance(details: Element) -> str:
    return " ".join(_content(each) for each in _all(details, "RmtInf/Ustrd"))


def _part_amount(details: Element, where: str) -> Decimal | None:
    text = _first(details, ("AmtDtls/TxAmt/Amt", "Amt"))
    return statement.number(text, where, "amount of a payment") if text else None


def _amount(element: Element, where: str, currency: str) -> tuple[Decimal, str]:
    """Above zero for what came in, and its currency, which must be that of the account."""
    found = _all(element, "Amt")
    if not found:
        raise StatementError(where, "Amt is missing")
    own = found[0].get("Ccy", "")
    if currency and own and own != currency:
        raise StatementError(where, f"an amount in {statement.shortened(own)} on an account in {currency}")
    sign = _text(element, "CdtDbtInd")
    if sign not in SIGNS:
        raise StatementError(where, f"CdtDbtInd is {statement.shortened(sign)}: it must be CRDT or DBIT")
    amount = statement.number(_content(found[0]), where, "amount")
    if amount < 0:
        raise StatementError(where, "an amount has no sign: CdtDbtInd says which way it went")
    return amount * SIGNS[sign], currency or own


def _wanted(current: _Open, currency: str, account: str) -> bool:
    return current.currency == currency and (
        not account or statement.name(account) == statement.name(current.account)
    )


def _check_root(element: Element) -> None:
    namespace = element.tag[1:].split("}")[0] if element.tag.startswith("{") else ""
    if _tag(element) != "Document" or (namespace and not NAMESPACE.fullmatch(namespace)):
        found = statement.shortened(namespace or _tag(element))
        raise StatementError(
            "", f"no camt.053 but {found}: it must be a Document of …camt.053.001.02 or later"
        )


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, path: str) -> list[Element]:
    """By local names: the namespace has the version in it."""
    found: Iterable[Element] = [element]
    for tag in path.split("/"):
        found = [child for each in found for child in each if _tag(child) == tag]
    return list(found)


def _text(element: Element, path: str) -> str:
    found = _all(element, path)
    return _content(found[0]) if found else ""


def _first(element: Element, paths: tuple[str, ...]) -> str:
    return next(filter(None, (_text(element, path) for path in paths)), "")


def _content(element: Element) -> str:
    return (element.text or "").strip()
