"""The tables: first how Tidegate stands to the others and to its targets, then what was seen."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from bench.goals import CONNECTIONS, ON, SUBJECT, goals
from bench.machine import LOUD_SHARE

Row = dict[str, Any]


def show(report: Row, console: Console) -> None:
    """Print everything that was measured."""
    machine = report["machine"]
    console.print(
        f"\n{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, Python {machine['python']}",
        highlight=False,
    )
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    console.print(versions, highlight=False)
    _goals(report, console)
    scenarios = report["scenarios"]
    for name, table in (
        ("throughput", _throughput),
        ("latency", _latency),
        ("streams", _streams),
        ("openloop", _openloop),
        ("startup", _startup),
        ("soak", _soak),
        ("outage", _outage),
        ("translate", _translate),
        ("everything", _everything),
        ("sinks", _sinks),
        ("overload", _overload),
    ):
        if scenarios.get(name):
            console.print(table(scenarios[name]))
    loud = max((row.get("noise", 0.0) for rows in scenarios.values() for row in rows), default=0.0)
    if loud > LOUD_SHARE:
        console.print(
            f"[bold yellow]others used up to {loud:.0%} of the machine meanwhile: "
            "measure again when it is quiet[/bold yellow]"
        )
    for warning in report["warnings"]:
        console.print(f"[yellow]{warning}[/yellow]", highlight=False, markup=True)


def _goals(report: Row, console: Console) -> None:
    reached = goals(report["scenarios"])
    if not reached:
        return
    table = Table(title="Tidegate against its goals", title_justify="left")
    for column in ("figure", "measured", "goal", ""):
        table.add_column(column, justify="right" if column in ("measured", "goal") else "left")
    for goal in reached:
        mark = "[green]met[/green]" if goal.met else "[red]missed[/red]"
        sign = "≥" if goal.at_least else "≤"
        table.add_row(
            goal.figure,
            f"{goal.measured:.3g}{goal.unit}",
            f"{sign} {goal.wanted:g}{goal.unit}",
            mark,
        )
    console.print(table)


def _throughput(rows: list[Row]) -> Table:
    table = _table(
        "Closed loop, non-streaming (medians of the rounds)",
        "conns|gateway",
        "of nginx|of smg|req/s|req/CPU s|spread|p50 ms|p99 ms|CPU µs/req|CPU|"
        "peak MiB|errors|others",
    )
    for row in sorted(rows, key=lambda one: one["connections"]):
        table.add_row(
            str(row["connections"]),
            row["name"],
            _ratio(row, "nginx"),
            _ratio(row, "smg"),
            f"{row['per_s']['median']:,.0f}",
            f"{row['per_s_of_cpu']:,.0f}",
            f"{row['spread']:.0%}",
            f"{row['p50_ms']['median']:.2f}",
            f"{row['p99_ms']['median']:.2f}",
            f"{row['cpu_us_per_request']['median']:.0f}",
            f"{row['cpu_share']['median']:.0%}",
            f"{row['peak_rss_mib']['most']:.0f}",
            str(row["errors"]),
            f"{row['noise']:.0%}",
        )
    return table


def _everything(rows: list[Row]) -> Group:
    table = _table(
        f"Everything on: key, eight scopes limited, money held, bodies kept; {CONNECTIONS} callers",
        "gateway",
        "of smg|of off|of on|req/s|req/CPU s|spread|p50 ms|p99 ms|CPU µs/req|CPU|errors|others",
    )
    for row in rows:
        if "placement" not in row:
            table.add_row(
                row["name"],
                *(_ratio(row, other) for other in ("smg", SUBJECT, ON)),
                f"{row['per_s']['median']:,.0f}",
                f"{row['per_s_of_cpu']:,.0f}",
                f"{row['spread']:.0%}",
                f"{row['p50_ms']['median']:.2f}",
                f"{row['p99_ms']['median']:.2f}",
                f"{row['cpu_us_per_request']['median']:.0f}",
                f"{row['cpu_share']['median']:.0%}",
                str(row["errors"]),
                f"{row['noise']:.0%}",
            )
    callers = [row for row in rows if "placement" in row]
    trips = {row["placement"]: row["redis_ms"] for row in callers if "redis_ms" in row}
    told = ", ".join(f"{place} {trip_ms:.3f} ms" for place, trip_ms in trips.items())
    words = [f"a round trip to Redis: {told}"] if told else []
    return Group(table, _latency(callers), *words)


def _ratio(row: Row, other: str) -> str:
    ratio = row["ratio_to"].get(other)
    return f"{ratio['median']:.3g}" if ratio else "-"


def _latency(rows: list[Row]) -> Table:
    table = _table(
        "One caller, requests direct and through in pairs",
        "gateway|placement",
        "added ms|95 % interval|direct p50|p50 ms|p99 ms|direct p99|pairs|others",
    )
    for row in rows:
        added = row["added_ms"]
        table.add_row(
            row["name"],
            row["placement"],
            f"{added['estimate']:.3f}",
            f"{added['low']:.3f}..{added['high']:.3f}",
            f"{row['direct_p50_ms']:.3f}",
            f"{row['p50_ms']:.3f}",
            f"{row['p99_ms']:.3f}",
            f"{row['direct_p99_ms']:.3f}",
            str(row["pairs"]),
            f"{row['noise']:.0%}",
        )
    return table


def _streams(rows: list[Row]) -> Table:
    table = _table(
        "Concurrent streams of 40 tokens/s (medians of the rounds)",
        "streams|gateway",
        "TTFT + ms|added gap p50|added gap p99|gap p99|late|chunks lost|CPU µs/chunk|CPU|"
        "KiB/stream|failed|others",
    )
    for row in rows:
        through = row["name"] != "direct"
        table.add_row(
            str(row["streams"]),
            row["name"],
            _plus(row["added_ttft_ms"]["median"]) if through else "-",
            _plus(row["added_gap_p50_ms"]["median"]) if through else "-",
            _plus(row["added_gap_p99_ms"]["median"]) if through else "-",
            f"{row['gap_p99_ms']['median']:.2f}",
            f"{row['late']}",
            f"{row['lost']}",
            f"{row['cpu_us_per_chunk']['median']:.1f}",
            f"{row['cpu_share']['median']:.0%}",
            f"{row['kib_per_stream']:.1f}" if through else "-",
            str(row["failed"]),
            f"{row['noise']:.0%}",
        )
    return table


def _openloop(rows: list[Row]) -> Table:
    table = _table(
        "Open loop: latency from the moment a request was due",
        "req/s|gateway",
        "kept|p50 ms|p90 ms|p99 ms|p99.9 ms|max ms|sent late p99|errors|others",
    )
    for row in sorted(rows, key=lambda one: one["rate"]):
        table.add_row(
            f"{row['rate']:,}",
            row["name"],
            f"{row['kept']:.0%}",
            *(f"{row[name]:.2f}" for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")),
            f"{row['sent_late_p99_ms']:.2f}",
            str(row["errors"]),
            f"{row['noise']:.0%}",
        )
    return table


def _startup(rows: list[Row]) -> Table:
    table = _table(
        "From start to first answer, and at rest", "gateway", "first answer s|idle MiB|processes"
    )
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['first_answer_s']['median']:.2f}",
            f"{row['idle_mib']['median']:.0f}",
            str(row["processes"]),
        )
    return table


def _soak(rows: list[Row]) -> Table:
    table = _table(
        "Soak", "gateway", "minutes|requests|streams|errors|RSS start|RSS end|KiB/min|KiB/min tail"
    )
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['minutes']:.1f}",
            f"{row['requests']:,}",
            f"{row['streams']:,}",
            str(row["errors"]),
            f"{row['rss_start_mib']:.1f}",
            f"{row['rss_end_mib']:.1f}",
            f"{row['slope_kib_per_min']:.1f}",
            f"{row['tail_slope_kib_per_min']:.1f}",
        )
    return table


def _outage(rows: list[Row]) -> Group:
    seen = _table(
        "A provider dies under 200 streams/s: first tokens in ms by phase, medians of the rounds",
        "died|alias",
        "requests|errors|told p99|healthy p50|p99|breaking p99|open p50|open p99|recovered p99",
    )
    done = _table(
        "The same: seconds from the death to the first failure, then on to the breaker's opening, "
        "then to a normal p99",
        "died|alias",
        "failed|opened|normal|back after recovery|calls/request|calls/caller of it|"
        "sent late p99 ms|others",
    )
    for row in rows:
        phases = row["phases"]
        seen.add_row(
            row["fault"],
            row["alias"],
            f"{row['requests']:,}",
            f"{row['errors']:,}",
            _or_dash(phases["open"]["error_p99_ms"], ".0f"),
            *(
                _or_dash(phases[phase][figure], ".0f")
                for phase, figure in (
                    ("healthy", "p50_ms"),
                    ("healthy", "p99_ms"),
                    ("breaking", "p99_ms"),
                    ("open", "p50_ms"),
                    ("open", "p99_ms"),
                    ("recovered", "p99_ms"),
                )
            ),
        )
        done.add_row(
            row["fault"],
            row["alias"],
            *(
                _or_dash(row[figure]["median"], how)
                for figure, how in (
                    ("failure_after_s", ".2f"),
                    ("opened_after_failure_s", "+.3f"),
                    ("normal_after_s", "+.2f"),
                    ("recovered_after_s", ".1f"),
                    ("calls_per_request", ".3f"),
                    ("calls_per_caller_of_it", ".3f"),
                    ("sent_late_p99_ms", ".1f"),
                )
            ),
            f"{row['noise']:.0%}",
        )
    return Group(seen, done)


def _translate(rows: list[Row]) -> Group:
    table = _table(
        "Translation in process, CPU µs (medians of the rounds; * bytes pass on)",
        "caller|vendor",
        "request|answer|both|both least|with tools|a chunk|least|others",
    )
    through = _table(
        "Translation through a gateway, CPU µs of its process (medians of the pairs)",
        "caller|vendor",
        "request, same|translated|added|chunk, same|translated|added|others",
    )
    for row in rows:
        noise = f"{row['noise']:.0%}"
        if row["where"] == "gateway":
            request = [
                f"{row[f'{one}_request_us']['median']:.0f}" for one in ("same", "translated")
            ]
            chunk = [f"{row[f'{one}_chunk_us']['median']:.1f}" for one in ("same", "translated")]
            added, more = f"{row['added_request_us']:+.0f}", f"{row['added_chunk_us']:+.1f}"
            through.add_row(row["caller"], row["vendor"], *request, added, *chunk, more, noise)
            continue
        table.add_row(
            row["caller"],
            row["vendor"] + ("" if row["translated"] else " *"),
            f"{row['ask_us']['median']:.1f}",
            f"{row['hear_us']['median']:.1f}",
            f"{row['request_us']['median']:.1f}",
            f"{row['request_us']['least']:.1f}",
            f"{row['tools_us']['median']:.0f}",
            f"{row['chunk_us']['median']:.1f}",
            f"{row['chunk_us']['least']:.1f}",
            noise,
        )
    return Group(table, through)


def _sinks(rows: list[Row]) -> Table:
    seconds, rate = rows[0]["seconds"], rows[0]["rate"]
    table = _table(
        f"A sink that is dead for {seconds:.0f} s at {rate:,} requests/s, and one that lives",
        "gateway",
        "requests|errors|lost|came twice|p50 ms|p99 ms|p99.9 ms|p50 of alive|p99 of alive|"
        "sent late p99|disk B/request|others",
    )
    for row in rows:
        back = row.get("back")
        for name, each in ((row["name"], row), *([("… and told again", back)] if back else [])):
            own = each is row
            table.add_row(
                name,
                f"{each['requests']:,}",
                str(each["errors"]),
                str(row["lost"]) if own else "",
                str(row["came_twice"]) if own else "",
                *(f"{each[figure]:.2f}" for figure in ("p50_ms", "p99_ms", "p999_ms")),
                *(
                    f"{row['of_alive'][figure]['median']:.2f}" if own else ""
                    for figure in ("p50_ms", "p99_ms")
                ),
                f"{each['sent_late_p99_ms']:.2f}",
                f"{row['disk_bytes_per_request']:,.0f}" if own else "",
                f"{each['noise']:.0%}",
            )
        if back:
            table.caption = (
                f"{back['records']:,} records told in {back['took_s']:.1f} s, "
                f"{back['records_per_s']:,.0f} a second, {back['waited_s']:.1f} s after it lived"
            )
    return table


def _overload(rows: list[Row]) -> Table:
    table = _table(
        f"More than one process can carry, which is {rows[0]['capacity_per_s']:,.0f} streams/s",
        "load",
        "good/s|of best|p50 ms|p99 ms|refused|CPU|callers' CPU|others",
    )
    for row in rows:
        table.add_row(
            f"{row['factor']:g} x",
            f"{row['good_per_s']:,.0f}",
            _or_dash(row["of_best"], ".1%"),
            _or_dash(row["p50_ms"], ".0f"),
            _or_dash(row["p99_ms"], ".0f"),
            f"{row['refused']:,}",
            *(f"{row[figure]:.0%}" for figure in ("cpu", "callers_cpu", "noise")),
        )
    return table


def _table(title: str, left: str, right: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in left.split("|"):
        table.add_column(column, no_wrap=True)
    for column in right.split("|"):
        table.add_column(column, justify="right")
    return table


def _or_dash(value: float, how: str) -> str:
    return "-" if math.isnan(value) else format(value, how)


def _plus(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"
