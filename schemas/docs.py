"""Generates documents from the flow files and the schemas; `--check` only compares.

    python -m schemas.docs [--check]

Whole pages: docs/reference/flow.md (who is told what, by whom, on which topic) and
docs/reference/asyncapi.yaml (the same for machines). Between markers of pages written by hand: the
graph of every version (docs/reference/flow-graphs.md), the kit module by module
(docs/reference/kit.md), the example of a publisher (docs/how-to/publish-from-outside.md). Routes
come from `sagakit.flow.routing`, the code that routes, so the documents cannot differ.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from sagakit.flow.model import Flow, Step
from sagakit.flow.routing import Rule, rules_of, topic, topics_of
from schemas import FLOWS, OWNERS
from schemas.asyncapi import MONITOR, asyncapi, doc, events_of, owners, participants, writer, yaml

ROOT = Path(__file__).parent.parent
EXAMPLE = Path("examples/publish_order.py")
FLOW_PAGE = Path("docs/reference/flow.md")
ASYNCAPI = Path("docs/reference/asyncapi.yaml")
GRAPHS = Path("docs/reference/flow-graphs.md")
KIT = Path("docs/reference/kit.md")
PUBLISHER = Path("docs/how-to/publish-from-outside.md")

_SHAPES = {
    "compensatable": '["{}"]',
    "pivot": '{{{{"{}"}}}}',
    "retriable": '(["{}"])',
}
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


# --- the graph ------------------------------------------------------------------------------------


def graph(flow: Flow, version: int) -> str:
    """Return a version as a Mermaid flowchart: solid arrows go forward, dotted ones undo."""
    lines = ["```mermaid", "flowchart LR", '    order(["order"])', '    saga(["saga monitor"])']
    for step in _steps(flow, version):
        shape = _SHAPES[step.kind].format(f"{step.name}<br>{step.kind}")
        lines.append(f"    {step.name}{shape}")
    lines += ["    completed((completed))", "    undone((undone))"]
    for (source, target, arrow), events in _edges(flow, version).items():
        lines.append(f'    {source} {arrow}|"{"<br>".join(events)}"| {target}')
    return "\n".join([*lines, "```"])


def _edges(flow: Flow, version: int) -> dict[tuple[str, str, str], list[str]]:
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    arrows = {"do": "-->", "undo": "-.->"}
    for step in _steps(flow, version):
        for event, rules in rules_of(flow, version, step.name).items():
            for rule in rules:
                if rule.kind in arrows:
                    found[OWNERS[event], step.name, arrows[rule.kind]].append(event)
    for step in flow.places(version)[-1]:
        found[step.name, "completed", "-->"].append(step.done)
    for ends in flow.ends(version):
        for event in ends:
            found[OWNERS[event], "undone", "-.->"].append(event)
    return found


def _steps(flow: Flow, version: int) -> list[Step]:
    return [step for place in flow.places(version) for step in place]


def graphs() -> str:
    """Return the graphs of all versions of all flows."""
    parts = []
    for flow in FLOWS:
        for version in flow.versions:
            mark = " (default)" if version == flow.default_version else ""
            parts.append(f"## `{flow.label(version)}`{mark}\n\n{graph(flow, version)}")
    return "\n\n".join(parts)


# --- the kit, the publisher -----------------------------------------------------------------------


def kit_modules() -> str:
    """Return the kit's modules by package, each with its docstring's first sentence."""
    kit = ROOT / "sagakit"
    parts = [_modules(sorted(kit.glob("[a-z]*.py")))]
    for package in sorted(path.parent for path in kit.glob("*/__init__.py")):
        first_line = first_sentence(package / "__init__.py")
        modules = _modules(sorted(package.glob("[a-z]*.py")))
        parts.append(f"## `{package.name}`\n\n{first_line}\n\n{modules}")
    return "\n\n".join(parts)


def _modules(paths: Iterable[Path]) -> str:
    up = "/".join(".." for _ in KIT.parent.parts)
    rows = [(f"[`{p.stem}`]({up}/{p.relative_to(ROOT)})", first_sentence(p)) for p in paths]
    return _table(("module", "what it does"), rows)


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    return re.split(r"(?<=\.) ", text)[0].replace("|", "\\|")


def publisher() -> str:
    """Return the example that publishes an OrderPlaced, as a Markdown code block."""
    return f"```python\n{(ROOT / EXAMPLE).read_text()}```"


# --- the page about the flow ----------------------------------------------------------------------


def flow_page() -> str:
    """Return docs/flow.md: steps and participants of every flow, topics, access rights."""
    parts = [
        "# Who is told what",
        "Made by `python -m schemas.docs` from `schemas/flows/`, the `.avsc` files and the "
        "services' canvases. Do not edit it: edit those.",
    ]
    for flow in FLOWS:
        parts += [f"## The flow `{flow.name}`", *_versions(flow), _step_table(flow)]
        parts += [part for name in flow.participants for part in _participant(flow, name)]
    parts += ["## Topics", _topic_table(), "## Access rights (Kafka ACLs)", _acl_note(), _acls()]
    return "\n\n".join(parts) + "\n"


def _versions(flow: Flow) -> list[str]:
    lines = []
    for version, places in flow.versions.items():
        order = " → ".join(" + ".join(place) for place in places)
        mark = " (default)" if version == flow.default_version else ""
        lines.append(f"- `{flow.label(version)}`{mark}: {order}")
    return ["\n".join(lines)]


def _step_table(flow: Flow) -> str:
    rows = []
    for step in flow.steps.values():
        waits = ", ".join(
            f"{e} {format_duration(s)}{_asks(step, e)}" for e, s in step.waits.items()
        )
        rows.append(
            (
                step.name,
                step.kind,
                step.done,
                ", ".join(step.failed) or "—",
                step.undone or "—",
                format_duration(step.deadline_s),
                waits or "—",
            )
        )
    return _table(("step", "kind", "done", "failed", "undone", "deadline", "waits"), rows)


def _asks(step: Step, event: str) -> str:
    if (asked := step.asks.get(event)) is None:
        return ""
    remind, escalate = format_duration(asked.remind_s), format_duration(asked.escalate_s)
    after = f"again after {remind}, {asked.senior} after {escalate}"
    return f" (asks {asked.role}, {after})"


def _participant(flow: Flow, name: str) -> Iterator[str]:
    yield f"### {name}"
    yield f"```text\n{canvas(name)}\n```"
    yield "Reads " + ", ".join(f"`{t}`" for t in topics_of(FLOWS, name)) + "."
    labels = [flow.label(v) for v in flow.versions]
    by_version = [rules_of(flow, v, name) for v in flow.versions]
    events = dict.fromkeys(event for rules in by_version for event in rules)
    rows = [
        (
            f"{event} (`{topic(OWNERS[event])}`)",
            *(_cell(rules.get(event, ())) for rules in by_version),
        )
        for event in events
    ]
    yield _table(("on", *labels), rows)
    yield _table(("emits", "which says"), [(e, doc(e)) for e in events_of(name)])


def _cell(rules: Iterable[Rule]) -> str:
    labels = {"do": "Do", "undo": "Undo", "verdict": "Command", "pause": "hold", "resume": "go on"}
    cells = [labels.get(r.kind) or f'Observed("{r.name}")' for r in rules]
    return ", ".join(cells) or "—"


def canvas(participant: str) -> str:
    """Return the docstring of a service's package, read without importing it."""
    path = ROOT / "services" / participant / "__init__.py"
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def readers() -> dict[str, list[str]]:
    """Return topic -> readers: the participants by their routes, the monitor on every topic."""
    found: dict[str, list[str]] = {topic(owner): [] for owner in owners()}
    for name in participants():
        for read in topics_of(FLOWS, name):
            found[read].append(name)
    return {name: [*those, "saga monitor"] for name, those in found.items()}


def _topic_table() -> str:
    rows = [
        (f"`{name}`", writer(name.partition(".")[0]), ", ".join(those), ", ".join(events))
        for name, those in readers().items()
        for events in [events_of(name.partition(".")[0])]
    ]
    rows += [
        (f"`{name}.dlt`", name, "people", "raw records that were parked, with `dlt-*` headers")
        for name in participants()
    ]
    rows.append(("`saga.clock`", "saga monitor", "nobody", "empty ticks: the broker's clock"))
    return _table(("topic", "written by", "read by", "holds"), rows)


def _acl_note() -> str:
    return (
        "Each service has a principal of its own, and only that principal may write its topic, so "
        "the topic of an event says who published it. A service also reads its own topic, to see "
        "what it has published. `Read` and `Write` include `Describe`. An application that places "
        "orders from outside needs `Write` on `order.events`; see [security](security.md)."
    )


def _acls() -> str:
    rows = []
    for name in participants():
        own = (topic(name), f"{name}.dlt")
        read = ", ".join(f"`{t}`" for t in sorted({*topics_of(FLOWS, name), *own}))
        write = ", ".join(f"`{t}`" for t in own)
        rows.append((name, f"{read}; group `{name}`", write))
    every = ", ".join(f"`{topic(owner)}`" for owner in owners())
    monitor = (
        "saga monitor",
        f"{every}; group `saga-monitor`",
        f"`{topic(MONITOR)}`, `saga.clock`",
    )
    return _table(("principal", "Read", "Write"), [*rows, monitor])


def format_duration(seconds: float) -> str:
    """Format seconds in the largest unit that divides them: 86400 is `1d`, 90 is `90s`."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds * 1000)}ms"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- all together ---------------------------------------------------------------------------------


def replace_section(text: str, name: str, content: str, page: Path) -> str:
    """Return `text` of a page with the part between the markers of `name` replaced.

    Raises ValueError naming page and markers where they are missing.
    """
    begin, end = f"<!-- made by schemas.docs: {name} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} needs one line {begin} and, further down, one line {end}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def documents() -> dict[Path, str]:
    """Return every generated document: path below the repository -> text."""
    made = ((GRAPHS, "flow", graphs()), (KIT, "kit", kit_modules()))
    parts = (*made, (PUBLISHER, "publisher", publisher()))
    return {
        **{
            path: replace_section((ROOT / path).read_text(), name, text, path)
            for path, name, text in parts
        },
        FLOW_PAGE: flow_page(),
        ASYNCAPI: "\n".join(yaml(asyncapi())) + "\n",
    }


def main() -> int:
    """Write changed documents; with `--check` only return exit status 1 if any differs."""
    stale = {
        path: text
        for path, text in documents().items()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    }
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path} is not what flow and schemas say: run python -m schemas.docs")
        return 1 if stale else 0
    for path, text in stale.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
