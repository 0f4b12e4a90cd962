"""Format one saga of the monitor's API for a terminal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from saga_cli.output import ago, coloured, duration, parse_time, until
from saga_monitor.saga.times import utc_seconds

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
    parts: list[Any] = [
        Text.from_markup(_title(seen, now)),
        Text.from_markup("  ".join(f"{s['name']} {coloured(s['status'])}" for s in seen["steps"])),
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
    kind = "nothing blocks it" if cause["kind"] == "on_time" else cause["kind"]
    line = f"[{colour}]{kind}[/]: {escape(cause['description'])}"
    if cause["since"]:
        line += f", for {ago(cause['since'], now)}"
    at = parse_time(cause["until"])
    if at is None:
        return line
    if cause["kind"] == "gateway":
        return line + (f", next try in {duration(at - now)}" if at > now else ", trying now")
    return f"{line}, deadline {until(cause['until'], now)}"


def _title(seen: Mapping[str, Any], now: datetime) -> str:
    title = f"[bold]{escape(seen['saga'])}[/]  {seen['flow']}  {coloured(seen['status'])}"
    started = parse_time(seen["started_at"])
    if started is None:
        return title
    took = duration((parse_time(seen["ended_at"]) or now) - started)
    return f"{title}, {took}, placed {utc_seconds(started)}"


def _timeline(seen: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("at", "after", "event", "because of"):
        table.add_column(column, no_wrap=True, justify="right" if column == "after" else "left")
    table.add_column("detail", overflow="fold")
    before: datetime | None = None
    for event in seen["timeline"]:
        at = parse_time(event["at"])
        assert at is not None
        gap = duration(at - before) if before else ""
        before = at
        detail = ", ".join(f"{k}={v}" for k, v in event["detail"].items())
        table.add_row(
            utc_seconds(at),
            gap,
            event["type"],
            _origin(event),
            escape(detail[:100]),
        )
    return table


def _origin(event: Mapping[str, Any]) -> str:
    """Return who asked for an event, else the event that caused it."""
    if actor := event["detail"].get("actor"):
        return f"by {escape(actor)}"
    return event["caused_by"] or ""


def _awaited(item: Mapping[str, Any], now: datetime) -> str:
    events = " or ".join(item["events"])
    line = f"[cyan]{item['step']} {VERBS[item['mode']]}[/] {events}, for {ago(item['since'], now)}"
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
    heading = f"intervention {intervention['status']}"
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
