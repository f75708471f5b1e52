"""A report as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exchange.bench.result import Cpu, Report, Result, Target
from exchange.bench.usage import Memory

BUSY = 0.05  # of the machine, by others than what is measured


def lines(report: Report) -> Iterator[str]:
    machine, postgres = report.machine, report.postgres
    yield f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}"
    yield f"Python {machine.python}"
    yield f"PostgreSQL {', '.join(f'{name} {value}' for name, value in postgres.items())}"
    yield f"a write is on disk after {machine.sync_ms:g} ms ({machine.file_system})"
    yield f"markets {', '.join(report.symbols)}"
    for result in report.results:
        yield ""
        yield from _result(result, machine.cores)
    if report.memory:
        yield ""
        yield f"{'memory, MB':<16}{'processes':>10}{'peak':>10}{'resident':>10}{'together':>10}"
        yield from (_memory(name, memory) for name, memory in report.memory.items())
        yield from map(_target, report.targets)
    yield ""
    yield "every target met" if report.met else "targets missed: " + ", ".join(_missed(report))


def _result(result: Result, cores: int) -> Iterator[str]:
    on = f", connections: {result.connections}, {result.seconds:.1f} s" if result.connections else ""
    yield f"{result.name}: {result.what}{on}"
    rates = {
        "orders/s": result.orders_per_second,
        "fills/s": result.fills_per_second,
        "requests/s": result.requests_per_second,
    }
    shown = [f"{value:,.0f} {name}" for name, value in rates.items() if value]
    if shown:
        yield _row("speed", "  ".join(shown))
    if result.latency_ms:
        yield _row(
            "latency, ms", "  ".join(f"{name} {value:.2f}" for name, value in result.latency_ms.items())
        )
    if result.cpu:
        yield from _cpu(result.cpu, "1,000 orders" if result.orders_per_second else "1,000 requests")
        busy = result.cpu.elsewhere / (result.seconds * cores)
        if busy > BUSY:
            yield _row("", f"others used {busy:.0%} of this machine: the figures are lower than it can do")
    if result.figures:
        yield from (_row("", f"{name}: {value:,.10g}") for name, value in _rounded(result.figures).items())
    for error, count in result.errors.items():
        yield _row("errors", f"{count:,} × {error}")
    for sample in result.samples:
        yield _row("", sample)
    yield from map(_target, result.targets)


def _cpu(cpu: Cpu, per: str) -> Iterator[str]:
    yield _row("processor, s", f"{_shares(cpu.seconds, 2)}  (others {cpu.elsewhere:.2f})")
    yield _row(f"  per {per}", f"{_shares(cpu.per_1000, 3)}  together {sum(cpu.per_1000.values()):.3f}")


def _shares(shares: Mapping[str, float], digits: int) -> str:
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return "  ".join(f"{name} {value:.{digits}f}" for name, value in ordered)


def _memory(name: str, memory: Memory) -> str:
    sizes = (memory.peak, memory.resident, memory.together)
    return f"{name:<16}{memory.processes:>10}" + "".join(f"{size:>10.0f}" for size in sizes)


def _target(target: Target) -> str:
    measured = f"{target.measured:,.2f}".rstrip("0").rstrip(".")
    return _row(
        "target", f"{'met   ' if target.met else 'MISSED'} {target.figure} {target.wanted}: {measured}"
    )


def _row(name: str, text: str) -> str:
    return f"  {name:<22}{text}"


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def _missed(report: Report) -> Iterator[str]:
    for result in report.results:
        yield from (f"{result.name} {target.figure}" for target in result.targets if not target.met)
    yield from (target.figure for target in report.targets if not target.met)
