"""Format one saga of the monitor's API for a terminal."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from saga_cli.output import add_column, ago, coloured, duration, parse_time, until
from saga_monitor.saga.time_travel import Basis
from saga_monitor.saga.times import utc_seconds, utc_text

BLOCKER_COLOURS = {
    "on_time": "green",
    "person": "cyan",
    "paused": "cyan",
    "gateway": "yellow",
    "lag": "yellow",
}
VERBS = {"wait": "waits for", "undo": "is to be undone:", "do": "is due:", "forward": "is due:"}


def saga_view(seen: Mapping[str, Any], now: datetime) -> Group:
    """Format a saga. Ages are as of `now`."""
    parts: list[Any] = [Text(line) for line in _point(seen.get("point"))]
    parts += [
        Text.from_markup(_title(seen, now)),
        Text.from_markup(
            "  ".join(f"{escape(s['name'])} {coloured(s['status'])}" for s in seen["steps"])
        ),
        _timeline(seen),
    ]
    parts += [Text.from_markup(_awaited(item, now)) for item in seen["awaited"]]
    parts += [
        Text.from_markup(_intervention(intervention, now)) for intervention in seen["interventions"]
    ]
    if pin := seen.get("pin"):
        parts.append(
            Text(f"pinned by {pin['actor']} {ago(pin['since'], now)} ago: {pin['reason']}")
        )
    if seen.get("history"):
        parts.append(Text("in the history: it ended, and had no event for long"))
    if seen.get("blocked_by"):
        heading = "" if seen["blocked_by"]["kind"] == "on_time" else "[bold]blocked by[/] "
        parts.append(Text.from_markup(heading + blocker_line(seen["blocked_by"], now)))
    parts += [Text.from_markup(line) for line in _links(seen.get("links") or {})]
    parts += [Text(balance_line(row)) for row in seen["balances"]]
    return Group(*parts)


def blocker_line(cause: Mapping[str, Any], now: datetime) -> str:
    """Describe in a line what blocks a saga."""
    colour = BLOCKER_COLOURS.get(cause["kind"], "red")
    kind = "nothing blocks it" if cause["kind"] == "on_time" else escape(cause["kind"])
    line = f"[{colour}]{kind}[/]: {escape(cause['description'])}"
    if cause["since"]:
        line += f", for {ago(cause['since'], now)}"
    at = parse_time(cause["until"])
    if at is None:
        return line
    if cause["kind"] == "gateway":
        return line + (f", next try in {duration(at - now)}" if at > now else ", trying now")
    return f"{line}, deadline {until(cause['until'], now)}"


def _point(point: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what a past saga stands for."""
    if point is None:
        return
    what = "as the log knew it" if point["basis"] == Basis.LOG else "as the monitor had read it"
    of = point["events"] + point["later"]
    at = utc_text(datetime.fromisoformat(point["at"]))
    yield f"{what} at {at}: {point['events']} of {of} events"
    if point["unread"]:
        yield f"{point['unread']} events stood in the log then and the monitor had not read them"
    if not point["complete"]:
        yield "the log is not read through that time yet: further events may come"


def _title(seen: Mapping[str, Any], now: datetime) -> str:
    title = f"[bold]{escape(seen['saga'])}[/]  {escape(seen['flow'])}  {coloured(seen['status'])}"
    started = parse_time(seen["started_at"])
    if started is None:
        return title
    took = duration((parse_time(seen["ended_at"]) or now) - started)
    return f"{title}, {took}, placed {utc_seconds(started)}"


def _timeline(seen: Mapping[str, Any]) -> Table:
    lines = []
    before: datetime | None = None
    for event in seen["timeline"]:
        at = parse_time(event["at"])
        assert at is not None
        gap = duration(at - before) if before else ""
        before = at
        detail = ", ".join(f"{k}={v}" for k, v in event["detail"].items())
        words = (utc_seconds(at), gap, event["type"], _origin(event), detail)
        lines.append([Text(word) for word in words])
    table = Table(box=None, pad_edge=False)
    for n, heading in enumerate(("at", "after", "event", "because of", "detail")):
        cells = [line[n] for line in lines]
        justify: JustifyMethod = "right" if heading == "after" else "left"
        add_column(table, heading, cells, fold=heading == "detail", justify=justify)
    for line in lines:
        table.add_row(*line)
    return table


def _origin(event: Mapping[str, Any]) -> str:
    """Return who asked for an event, else the event that caused it."""
    if actor := event["detail"].get("actor"):
        return f"by {actor}"
    return event["caused_by"] or ""


def _awaited(item: Mapping[str, Any], now: datetime) -> str:
    events = escape(" or ".join(item["events"]))
    what = escape(f"{item['step']} {VERBS.get(item['mode'], item['mode'])}")
    line = f"[cyan]{what}[/] {events}, for {ago(item['since'], now)}"
    if item["tries"]:
        line += f", asked {item['tries']} times"
    if asked := item.get("approval"):
        return f"{line}, deadline {until(asked['until'], now)}; {_asked(asked, now)}"
    return line + (f", deadline {until(item['due'], now)}" if item["due"] else "")


def _asked(asked: Mapping[str, Any], now: datetime) -> str:
    """Describe who is asked for a verdict, with reminder and escalation."""
    line = f"asked: {escape(asked['role'])}"
    if asked["reminded"]:
        line += f", reminded {ago(asked['reminded'], now)} ago"
    if asked["escalated"]:
        line += f", escalated to {escape(asked['senior'])} {ago(asked['escalated'], now)} ago"
    return line


def _intervention(intervention: Mapping[str, Any], now: datetime) -> str:
    is_open = intervention["status"] in ("open", "claimed")
    heading = escape(f"intervention {intervention['status']}")
    holder = f", {intervention['holder']} works on it" if intervention["holder"] and is_open else ""
    colour = "red" if is_open else "dim"
    title = f"[{colour}]{heading}:[/] {escape(intervention['code'])}{escape(holder)}"
    age, reason = ago(intervention["opened_at"], now), escape(intervention["reason"])
    lines = [f"{title}, for {age}: {reason}"]
    for entry in intervention["entries"]:
        if entry["id"] != intervention["opening"]:
            verb = entry["type"].removeprefix("Intervention").lower()
            line = f"{verb} by {entry['actor']} {ago(entry['at'], now)} ago: {entry['reason']}"
            lines.append(f"  {escape(line)}")
    return "\n".join(lines)


def _links(links: Mapping[str, Any]) -> list[str]:
    """Return lines on the saga's batch, and on the sagas it is linked to."""
    lines = [f"in batch {escape(links['batch_id'])}"] if links.get("batch_id") else []
    if links.get("caused_by"):
        lines.append(f"caused by {escape(links['caused_by'])}")
    return lines + [f"led to {escape(saga)}" for saga in links.get("led_to", ())]


def balance_line(row: Mapping[str, Any]) -> str:
    """Describe a balance and kind in a line: `seats A: 2 added, 0 removed, 2 held`."""
    amounts = ", ".join(f"{row[name]} {name}" for name in ("added", "removed", "held"))
    return f"{row['name']} {row['kind']}".rstrip() + f": {amounts}"
