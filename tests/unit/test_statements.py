"""Bank statements: what is read from CSV and from camt.053 in its versions, and what is told of a file that is none."""

from __future__ import annotations

import tracemalloc
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from trading.books import camt053, csv_statement
from trading.books.bank_statement import Line, StatementError, Summary

DATA = Path(__file__).parents[1] / "data"
DAY = date(2026, 11, 22)
IBAN = "TR330006100519786457841326"
D = Decimal


def lines_of(path: Path, currency: str = "TRY", account: str = "") -> tuple[list[Line], list[Summary]]:
    found = list(camt053.read(path, currency, account))
    return [each for each in found if isinstance(each, Line)], [
        each for each in found if isinstance(each, Summary)
    ]


def test_camt053_as_banks_write_its_second_version() -> None:
    lines, (summary,) = lines_of(DATA / "camt053_v02.xml")
    assert [(line.amount, line.day) for line in lines] == [
        (D("1500.50"), DAY),
        (D("-250.00"), DAY),
        (D("300.25"), DAY),
    ]
    assert lines[0].references == ("1", "FT263260001")
    assert "0193518A2B0070008000000000000100" in lines[0].words
    assert lines[1].references == ("2", "0193518A2B007000800000000000200")
    assert "PAYOUT77" in lines[2].words
    assert lines[1].where == "statement 1, entry 2"
    assert summary == Summary(
        "statement 1", IBAN, "TRY", 3, D("1000.00"), D("2550.75"), D("1550.75"), pending=1
    )
    assert summary.adds_up


def test_camt053_with_a_batch_other_accounts_and_prefixes() -> None:
    lines, (summary,) = lines_of(DATA / "camt053_v08.xml")
    assert [(line.where, line.amount) for line in lines] == [
        ("statement 1, entry 1, payment 1", D("400.00")),
        ("statement 1, entry 1, payment 2", D("200.00")),
    ]
    assert lines[0].references == ("DEPA", "7A562C67CA1648BAB07465581BE6F001")
    assert lines[1].references == ("DEPB", "RF18539007547034")
    assert (summary.opening, summary.closing, summary.adds_up) == (D("-50.00"), D("550.00"), True)
    lines, (summary,) = lines_of(DATA / "camt053_v08.xml", "USD")
    assert (summary.account, len(lines), summary.adds_up) == ("USD-1", 1, True)
    assert len(lines_of(DATA / "camt053_v08.xml", "TRY", IBAN)[0]) == 2
    assert lines_of(DATA / "camt053_v08.xml", "TRY", "TR00") == ([], [])


@pytest.mark.parametrize("version", [f"{number:02d}" for number in range(2, 14)])
def test_every_version_is_read(version: str, tmp_path: Path) -> None:
    status = "<Sts><Cd>BOOK</Cd></Sts>" if version >= "08" else "<Sts>BOOK</Sts>"
    text = (DATA / "camt053_v02.xml").read_text().replace("camt.053.001.02", f"camt.053.001.{version}")
    path = tmp_path / "statement.xml"
    path.write_text(text.replace("<Sts>BOOK</Sts>", status))
    assert len(lines_of(path)[0]) == 3
    path.write_text(text.replace(f' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"', ""))
    assert len(lines_of(path)[0]) == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("camt.053.001.02", "camt.054.001.02", "no camt.053"),
        ("BkToCstmrStmt>", "BkToCstmrDbtCdtNtfctn>", "it must be BkToCstmrStmt"),
        (
            '<Amt Ccy="TRY">250.00</Amt>',
            '<Amt Ccy="TRY">250,00</Amt>',
            "statement 1, entry 2: amount '250,00'",
        ),
        ('<Amt Ccy="TRY">250.00</Amt>', '<Amt Ccy="TRY">-250.00</Amt>', "entry 2: an amount has no sign"),
        (
            '<Amt Ccy="TRY">250.00</Amt>',
            '<Amt Ccy="EUR">250.00</Amt>',
            "entry 2: an amount in 'EUR' on an account in TRY",
        ),
        ('<Amt Ccy="TRY">250.00</Amt>', "", "entry 2: Amt is missing"),
        ("<CdtDbtInd>DBIT</CdtDbtInd>", "<CdtDbtInd>OUT</CdtDbtInd>", "CdtDbtInd is 'OUT'"),
        (
            "<DtTm>2026-11-22T14:03:00+03:00</DtTm>",
            "<DtTm>22.11.2026</DtTm>",
            "date '22.11.2026' is not a date",
        ),
        ("<DtTm>2026-11-22T14:03:00+03:00</DtTm>", "", "neither BookgDt nor ValDt"),
        ("<Sts>PDNG</Sts>", "<Sts>MAYBE</Sts>", "entry 4: status 'MAYBE'"),
        ("</Stmt>", "", "no XML: mismatched tag"),
        ("</Document>", "", "no XML: no element found"),
        ("<Document", "<!DOCTYPE d [<!ENTITY a 'b'>]><Document", "DTD or entities"),
        ("<Stmt>", "<Other>", "no XML"),
    ],
)
def test_what_is_wrong_in_camt053_is_told_with_its_place(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    text = (DATA / "camt053_v02.xml").read_text()
    assert old in text
    path = tmp_path / "statement.xml"
    path.write_text(text.replace(old, new))
    with pytest.raises(StatementError, match=says.replace("(", r"\(")):
        lines_of(path)


def test_a_batch_that_does_not_add_up_is_told(tmp_path: Path) -> None:
    path = tmp_path / "statement.xml"
    path.write_text((DATA / "camt053_v08.xml").read_text().replace(">200.00<", ">201.00<"))
    with pytest.raises(StatementError, match=r"entry 1: its payments sum to 601.00, the entry is 600.00"):
        lines_of(path)


def test_no_statement_at_all_is_told(tmp_path: Path) -> None:
    path = tmp_path / "statement.xml"
    path.write_text("<Document><BkToCstmrStmt><GrpHdr/></BkToCstmrStmt></Document>")
    with pytest.raises(StatementError, match="there is no statement"):
        lines_of(path)


def test_a_long_statement_is_not_held_in_memory(tmp_path: Path) -> None:
    text = (DATA / "camt053_v02.xml").read_text()
    start, end = text.index("      <Ntry>"), text.index("      <Ntry>\n        <NtryRef>2")
    path = tmp_path / "statement.xml"
    count = 4_000
    path.write_text(text[:start] + text[start:end] * count + text[end:])
    assert path.stat().st_size > 2_000_000
    tracemalloc.start()
    try:
        found = sum(isinstance(each, Line) for each in camt053.read(path, "TRY"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == count + 2
    assert peak < 700_000, f"{peak} bytes"


# -- CSV


def csv_lines(tmp_path: Path, text: str, **options: object) -> list[Line]:
    path = tmp_path / "statement.csv"
    path.write_text(text, encoding="utf-8")
    found = list(csv_statement.read(path, "TRY", **options))  # type: ignore[arg-type]
    assert isinstance(found[-1], Summary)
    assert found[-1].total == sum(each.amount for each in found[:-1] if isinstance(each, Line))
    return [each for each in found if isinstance(each, Line)]


def test_csv_with_signs_or_with_types(tmp_path: Path) -> None:
    signed = csv_lines(
        tmp_path,
        "\ufeffDate,Amount,Reference,Text\n2026-11-22,1500.50,FT-1,\n\n2026-11-22,-250,,Payout PAYOUT-77\n",
    )
    assert [(line.where, line.amount, line.references, line.words) for line in signed] == [
        ("line 2", D("1500.50"), ("FT1",), ()),
        ("line 4", D("-250"), (), ("PAYOUT", "PAYOUT77")),
    ]
    typed = csv_lines(
        tmp_path,
        "reference;date;type;amount;currency\nFT-1;2026-11-22T09:00:00+03:00;CRDT;1500,50;TRY\nX;2026-11-22;dbit;250;try\n",
        delimiter=";",
        comma=True,
    )
    assert [(line.day, line.amount) for line in typed] == [(DAY, D("1500.50")), (DAY, D("-250"))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the head must name"),
        ("date,amount\n", "reference is missing"),
        ("date,amount,reference,date\n", "named twice"),
        ("date,amount,reference\n2026-11-22,1\n", "line 2: 2 fields, the head has 3"),
        ("date,amount,reference\n2026-11-22,1,a\n22.11.2026,1,a\n", "line 3: date '22.11.2026'"),
        ("date,amount,reference\n2026-11-22,1.250.00,a\n", "line 2: amount '1.250.00'"),
        ("date,amount,reference\n2026-11-22,1e3,a\n", "line 2: amount '1e3'"),
        ("date,amount,reference\n2026-11-22,NaN,a\n", "line 2: amount 'NaN'"),
        ("date,amount,reference\n2026-11-22,0.00,a\n", "line 2: the amount is zero"),
        ("date,amount,reference,currency\n2026-11-22,1,a,EUR\n", "line 2: currency 'EUR', it must be TRY"),
        ("date,amount,reference,type\n2026-11-22,-1,a,DBIT\n", "line 2: type must be"),
        ('date,amount,reference\n2026-11-22,1,"a\n', "no CSV"),
        ("date,amount,reference\n2026-11-22," + "9" * 500 + ",a\n", "…' is not an amount"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StatementError) as raised:
        csv_lines(tmp_path, text)
    assert says in str(raised.value) and len(str(raised.value)) < 300


def test_a_csv_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "statement.csv"
    path.write_bytes(b"date,amount,reference\n2026-11-22,1,\xff\n")
    with pytest.raises(StatementError, match="is not UTF-8"):
        list(csv_statement.read(path, "TRY"))
