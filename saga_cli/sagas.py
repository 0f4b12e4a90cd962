"""Show orders as the monitor sees them, and give commands on them: `saga show`, `ls`, `cancel`."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from saga_cli.client import ask, order_path
from saga_monitor.saga.view import Status

F = TypeVar("F", bound=Callable[..., Any])
COLOURS = {
    "completed": "green",
    "done": "green",
    "cancelled": "yellow",
    "undone": "yellow",
    "undoing": "magenta",
    "failed": "red",
    "intervention": "red",
    "waiting": "cyan",
    "paused": "cyan",
    "unplaced": "red",
}
HELD = {
    "on_time": "green",
    "person": "cyan",
    "paused": "cyan",
    "gateway": "yellow",
    "lag": "yellow",
}
VERBS = {"wait": "waits for", "undo": "is to be undone:", "do": "is due:", "forward": "is due:"}


def actor_and_reason(command: F) -> F:
    """Add the options --actor and --reason, which go into the event that the command becomes."""
    actor = click.option("--actor", default=getpass.getuser, help="Who you are. [default: you]")
    reason = click.option("--reason", required=True, help="Why; it is kept on the log.")
    return actor(reason(command))


@click.command()
@click.argument("order_id", metavar="ORDER")
def show(order_id: str) -> None:
    """Show one order: every event, what it awaits, and its money."""
    Console().print(shown(ask("GET", order_path(order_id)), datetime.now(UTC)))


@click.command()
@click.option("--status", type=click.Choice([s.value for s in Status]), help="Only these.")
@click.option("--stuck", is_flag=True, help="Only overdue, unplaced, or cases for a person.")
@click.option("--history", is_flag=True, help="Only those that were moved to the history.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def ls(status: str | None, stuck: bool, history: bool, limit: int) -> None:
    """List orders, the newest event first.

    With --stuck alone, list the most overdue first, with what blocks each.
    """
    if stuck and not (status or history):
        _ls_held(limit)
        return
    wanted = {"stuck": stuck, "limit": limit, **({"status": status} if status else {})}
    wanted |= {"history": True} if history else {}
    rows = ask("GET", "/sagas", params=wanted)
    if not rows:
        click.echo("no orders" if not (status or stuck or history) else "no such orders")
        return
    now = datetime.now(UTC)
    table = Table("order", "flow", "status", "age", "awaits", "until", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            escape(row["order_id"]),
            f"{row['flow']}/{row['version']}" if row["version"] else "",
            coloured(row["status"]),
            ago(row["started_at"], now),
            escape(row["awaited"] or ""),
            _until(row["next_deadline"], now),
        )
    Console().print(table)
    if len(rows) == limit:
        click.echo(f"the newest {limit}; --limit shows more")


def _ls_held(limit: int) -> None:
    """List stuck orders, with what blocks each."""
    rows = ask("GET", "/held", params={"stuck": True, "limit": limit})
    if not rows:
        click.echo("no such orders")
        return
    now = datetime.now(UTC)
    table = Table("order", "status", "age", "deadline", box=None, pad_edge=False)
    table.add_column("held by", overflow="fold")
    for row in rows:
        table.add_row(
            escape(row["order_id"]),
            coloured(row["status"]),
            ago(row["started_at"], now),
            _until(row["next_deadline"], now),
            held(row["held_by"], now),
        )
    Console().print(table)
    if len(rows) == limit:
        click.echo(f"the {limit} most overdue; --limit shows more")


@click.command()
@click.argument("order_id", metavar="ORDER")
@click.option("--step", default="payment", show_default=True)
@actor_and_reason
def approve(order_id: str, step: str, actor: str, reason: str) -> None:
    """Approve a step that waits for a person's decision."""
    _say("/verdicts", order_id, actor, reason, step=step, verdict="approve")


@click.command()
@click.argument("order_id", metavar="ORDER")
@click.option("--step", default="payment", show_default=True)
@actor_and_reason
def reject(order_id: str, step: str, actor: str, reason: str) -> None:
    """Reject a step that waits for a person's decision."""
    _say("/verdicts", order_id, actor, reason, step=step, verdict="reject")


@click.command()
@click.argument("order_id", metavar="ORDER")
@actor_and_reason
def cancel(order_id: str, actor: str, reason: str) -> None:
    """Undo an order, newest step first; possible until its parcel is picked up."""
    _say("/cancellations", order_id, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
@actor_and_reason
def pause(order_id: str, actor: str, reason: str) -> None:
    """Pause an order: no new work starts until it is resumed. It can still be cancelled."""
    _say("/pauses", order_id, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
@actor_and_reason
def resume(order_id: str, actor: str, reason: str) -> None:
    """Resume a paused order."""
    _say("/resumptions", order_id, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
@actor_and_reason
def pin(order_id: str, actor: str, reason: str) -> None:
    """Pin an order, so that it is not moved to the history."""
    _say("/pins/pin", order_id, actor, reason)


@click.command()
@click.argument("order_id", metavar="ORDER")
@actor_and_reason
def unpin(order_id: str, actor: str, reason: str) -> None:
    """Unpin an order, so that it can be moved to the history."""
    _say("/pins/unpin", order_id, actor, reason)


def _say(path: str, order_id: str, actor: str, reason: str, **more: str) -> None:
    said = ask("POST", path, json={"order_id": order_id, "actor": actor, "reason": reason, **more})
    click.echo(f"{said['event']} {said['id']} is on its way; `saga show {order_id}` follows it")


def shown(seen: dict[str, Any], now: datetime) -> Group:
    """Format an order of the monitor's API for a terminal. Ages are as of `now`."""
    started = _time(seen["started_at"])
    ended = _time(seen["ended_at"]) or now
    took = (
        f", {_duration(ended - started)}, placed {started:%Y-%m-%d} (times are UTC)"
        if started
        else ""
    )
    title = f"[bold]{escape(seen['order_id'])}[/]  {seen['flow']}  {coloured(seen['status'])}{took}"
    steps = "  ".join(f"{s['name']} {coloured(s['status'])}" for s in seen["steps"])
    parts: list[Any] = [Text.from_markup(title), Text.from_markup(steps), _timeline(seen)]
    parts += [Text.from_markup(_awaits(item, now)) for item in seen["awaited"]]
    parts += [Text.from_markup(_case(case, now)) for case in seen["cases"]]
    if pin := seen.get("pin"):
        told = f"pinned by {pin['actor']} {ago(pin['since'], now)} ago: {pin['reason']}"
        parts.append(Text(told))
    if seen.get("history"):
        parts.append(Text("history: moved there since nothing was said of it for long"))
    if seen.get("held_by"):
        parts.append(Text.from_markup(f"[bold]held by[/] {held(seen['held_by'], now)}"))
    parts += [Text.from_markup(line) for line in _links(seen.get("links") or {})]
    return Group(*parts, _money(seen["ledger"]))


def _links(links: dict[str, Any]) -> list[str]:
    """Return lines on the order's batch, and on the orders it is linked to."""
    found = [f"in batch {escape(links['batch_id'])}"] if links.get("batch_id") else []
    if links.get("caused_by"):
        found.append(f"caused by order {escape(links['caused_by'])}")
    return found + [f"led to order {escape(order)}" for order in links.get("led_to", ())]


def _timeline(seen: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("at", "after", "event", "because of"):
        table.add_column(column, no_wrap=True, justify="right" if column == "after" else "left")
    table.add_column("detail", overflow="fold")
    before: datetime | None = None
    for event in seen["timeline"]:
        at = _time(event["at"])
        assert at is not None
        gap = _duration(at - before) if before else ""
        before = at
        detail = ", ".join(f"{k}={v}" for k, v in event["detail"].items())
        table.add_row(
            f"{at:%H:%M:%S}.{at.microsecond // 1000:03}",
            gap,
            event["type"],
            event["caused_by"] or "",
            escape(detail[:100]),
        )
    return table


def _awaits(item: dict[str, Any], now: datetime) -> str:
    events = " or ".join(item["events"])
    words = f"[cyan]{item['step']} {VERBS[item['mode']]}[/] {events}, for {ago(item['since'], now)}"
    if item["tries"]:
        words += f", asked {item['tries']} times"
    if asked := item.get("asked"):
        return f"{words}, deadline {_until(asked['until'], now)}; {_asked(asked, now)}"
    return words + (f", deadline {_until(item['due'], now)}" if item["due"] else "")


def _asked(asked: dict[str, Any], now: datetime) -> str:
    """Describe who is asked for a verdict, with reminder and escalation."""
    words = f"asked: {escape(asked['role'])}"
    if asked["reminded"]:
        words += f", reminded {ago(asked['reminded'], now)} ago"
    if asked["escalated"]:
        words += f", escalated to {escape(asked['senior'])} {ago(asked['escalated'], now)} ago"
    return words


def _case(case: dict[str, Any], now: datetime) -> str:
    is_open = case["status"] in ("open", "claimed")
    what = "a person is needed" if is_open else f"case {case['status']}"
    who = f", {case['holder']} looks after it" if case["holder"] and is_open else ""
    words = f"[{'red' if is_open else 'dim'}]{what}:[/] {escape(case['code'])}{escape(who)}"
    lines = [f"{words}, for {ago(case['opened_at'], now)}: {escape(case['reason'])}"]
    for entry in case["entries"]:
        if entry["id"] != case["opened"]:
            what = entry["type"].removeprefix("Intervention").lower()
            told = f"{what} by {entry['actor']} {ago(entry['at'], now)} ago: {entry['reason']}"
            lines.append(f"  {escape(told)}")
    return "\n".join(lines)


def held(cause: dict[str, Any], now: datetime) -> str:
    """Describe in a line what blocks an order."""
    words = f"[{HELD.get(cause['kind'], 'red')}]{cause['kind']}[/]: {escape(cause['told'])}"
    if cause["since"]:
        words += f", for {ago(cause['since'], now)}"
    at = _time(cause["until"])
    if at is None:
        return words
    if cause["kind"] == "gateway":
        return words + (f", next try in {_duration(at - now)}" if at > now else ", trying now")
    return words + (f", deadline {_until(cause['until'], now)}" if cause["until"] else "")


def _money(ledger: dict[str, Any]) -> Text:
    currency = ledger["currency"] or "no money moved"
    amounts = " ".join(f"{k} {ledger[f'{k}_minor']}" for k in ("captured", "refunded", "held"))
    return Text(f"{amounts} ({currency}, minor units)" if ledger["currency"] else currency)


def coloured(status: str) -> str:
    """Return a status with the markup of its colour."""
    return f"[{COLOURS.get(status, 'white')}]{status}[/]"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def ago(text: str | None, now: datetime) -> str:
    """Return how long ago a time of the API was; empty without a time."""
    at = _time(text)
    return _duration(now - at) if at else ""


def _until(text: str | None, now: datetime) -> str:
    at = _time(text)
    if at is None:
        return ""
    return f"[red]overdue by {_duration(now - at)}[/]" if at < now else f"in {_duration(at - now)}"


def _duration(span: timedelta) -> str:
    """Format a time span: `87 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {name}"
    return f"{whole // 60} min {whole % 60} s"
