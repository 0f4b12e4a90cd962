"""Renders the report as one self-contained HTML file. Pure."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2733; }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left;
       padding: .25rem .6rem; border-bottom: 1px solid #d8dfe6; vertical-align: top }
th { color: #5b6b7b; font-weight: 500 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
code { background: #eef2f5; padding: .15rem .4rem; border-radius: 3px }
.good { color: #14713d } .bad { color: #b3261e; font-weight: 600 }
.figures { display: flex; gap: 2rem; flex-wrap: wrap } .figures b { display: block;
       font-size: 1.7rem; font-weight: 600 }
.lane { position: relative; height: 1.35rem; background: #f4f6f8; margin-bottom: 2px }
.lane i { position: absolute; top: 2px; bottom: 2px; min-width: 3px; background: #e8a33d;
       border-radius: 2px } .lane i.error { background: #b3261e }
.lane span { position: absolute; left: .4rem; font-size: .8rem; color: #33414e; z-index: 1 }
"""


def page(report: Mapping[str, Any]) -> str:
    """Return the HTML page of a report, which has the keys of `Report`."""
    good = not report["violations"]
    verdict = "no violation" if good else f"{len(report['violations'])} violations"
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chaos run, seed {report["seed"]}</title>
<style>{STYLE}</style>
<h1>Chaos run of {escape(report["started_at"])}: <span class="{"good" if good else "bad"}">{
        verdict
    }</span></h1>
<p>To repeat it: <code>{escape(report["command"])}</code></p>
<div class="figures">
{_figure(report["orders"], "orders")}{_figure(report["faults_injected"], "faults")}
{_figure(report["kinds_injected"], "kinds of faults")}{
        _figure(len(report["violations"]), "violations")
    }
{_figure(f"{report['longest_stall_s']} s", "longest time without an end")}
{_figure(f"{report['lasted_s']:.0f} s", "all in all")}
</div>
{_violations(report["violations"])}
<h2>Invariants</h2>{_invariants(report["invariants"])}
<h2>Ends</h2>{_counts(report["ends"])}
<p>Orders that came to another end than their kind's, each explained by a deadline that had truly
passed unless it is listed as a violation ({report["timed_out"]} orders met one):</p>
{_counts(report["otherwise"])}
<h2>Faults by kind</h2>{_kinds(report["kinds"])}
{_left_out(report["left_out"])}
<h2>Faults in time</h2>{_timeline(report["faults"])}
</html>
"""


def _figure(value: object, what: str) -> str:
    return f"<div><b>{escape(str(value))}</b>{escape(what)}</div>"


def _violations(told: Iterable[str]) -> str:
    rows = "".join(f'<li class="bad">{escape(one)}</li>' for one in told)
    return f"<h2>Violations</h2><ul>{rows}</ul>" if rows else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        number = isinstance(value, int | float) or value is None
        text = "-" if value is None else escape(str(value))
        return f"<{tag}{' class=n' if number else ''}>{text}</{tag}>"

    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(cell('td', v) for v in row)}</tr>" for row in rows)
    return f"<table><tr>{heads}</tr>{lines}</table>"


def _invariants(found: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        ("", "invariant", "checked against", ""),
        (
            (f["number"], f["title"], f["checked_against"], "holds" if f["holds"] else "BROKEN")
            for f in found
        ),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return _table(("", "orders"), counts.items())


def _kinds(rows: Iterable[Mapping[str, Any]]) -> str:
    return _table(
        (
            "kind",
            "times",
            "ready again, median s",
            "an order goes through again, median s",
            "longest s",
        ),
        (
            (r["kind"], r["times"], r["ready_s"], r["recovery_s"], r["longest_recovery_s"])
            for r in rows
        ),
    )


def _left_out(kinds: Mapping[str, str]) -> str:
    rows = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in kinds.items())
    return f"<p>Left out:</p><ul>{rows}</ul>" if rows else ""


def _timeline(faults: Iterable[Mapping[str, Any]]) -> str:
    rows = list(faults)
    whole_s = max((r["ready_at"] or r["healed_at"] or r["injected_at"] for r in rows), default=1.0)
    return "".join(_lane(row, whole_s) for row in rows)


def _lane(row: Mapping[str, Any], whole_s: float) -> str:
    begins = row["injected_at"]
    over = row["ready_at"] or row["healed_at"] or begins
    told = f"{begins:.0f} s  {row['kind']}: {row['target']}"
    if row["error"]:
        told += f" - {row['error']}"
    kind = "error" if row["error"] else "fault"
    return (
        f'<div class="lane" title="{escape(told)}"><span>{escape(told)}</span>'
        f'<i class="{kind}" style="left:{100 * begins / whole_s:.2f}%;'
        f'width:{100 * (over - begins) / whole_s:.2f}%"></i></div>\n'
    )
