"""Generates documents from a contract's flow files and schemas; `--check` only compares.

    python -m sagakit.contract.docs PACKAGE [--check]

Whole pages, below the folder that holds the package: docs/reference/flow.md (who is told what, by
whom, on which topic) and docs/reference/asyncapi.yaml (the same for machines). Between markers of
pages written by hand: the graph of every version (docs/reference/flow-graphs.md), and what
`docs.toml` of the contract asks for (`texts`). Routes come from `sagakit.flow.routing`, the code
that routes, so the documents cannot differ.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sagakit.contract.asyncapi import asyncapi, writer, yaml
from sagakit.contract.files import ContractFiles
from sagakit.contract.loader import load_contract
from sagakit.contract.made_page import make, table
from sagakit.contract.model import Contract
from sagakit.contract.package_tool import run_tool
from sagakit.contract.texts import DocumentTexts, read_texts
from sagakit.errors import ContractError
from sagakit.flow.model import Flow, Step
from sagakit.flow.platform_events import PLATFORM
from sagakit.flow.routing import Rule, rules_of, topic, topics_of

FLOW_PAGE = Path("docs/reference/flow.md")
ASYNCAPI = Path("docs/reference/asyncapi.yaml")
GRAPHS = Path("docs/reference/flow-graphs.md")

_SHAPES = {
    "compensatable": '["{}"]',
    "pivot": '{{{{"{}"}}}}',
    "retriable": '(["{}"])',
}
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


# --- the graph ------------------------------------------------------------------------------------


def graph(flow: Flow, version: int) -> str:
    """Return a version as a Mermaid flowchart: solid arrows go forward, dotted ones undo."""
    asks = dict.fromkeys((flow.owners[flow.start], flow.owners[flow.cancel], PLATFORM))
    lines = ["```mermaid", "flowchart LR", *(f'    {name}(["{writer(name)}"])' for name in asks)]
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
                    found[flow.owners[event], step.name, arrows[rule.kind]].append(event)
    for step in flow.places(version)[-1]:
        found[step.name, "completed", "-->"].append(step.done)
    for ends in flow.ends(version):
        for event in ends:
            found[flow.owners[event], "undone", "-.->"].append(event)
    return found


def _steps(flow: Flow, version: int) -> list[Step]:
    return [step for place in flow.places(version) for step in place]


def graphs(flows: Iterable[Flow]) -> str:
    """Return the graphs of all versions of all flows."""
    parts = []
    for flow in flows:
        for version in flow.versions:
            mark = " (default)" if version == flow.default_version else ""
            parts.append(f"## `{flow.label(version)}`{mark}\n\n{graph(flow, version)}")
    return "\n\n".join(parts)


# --- modules and code -----------------------------------------------------------------------------


def module_tables(root: Path, page: Path, name: Path) -> str:
    """Return a package's modules by package, each with its docstring's first sentence."""
    package = root / name

    def modules(paths: Iterable[Path]) -> str:
        up = "/".join(".." for _ in page.parent.parts)
        rows = [(f"[`{p.stem}`]({up}/{p.relative_to(root)})", first_sentence(p)) for p in paths]
        return table(("module", "what it does"), rows)

    parts = [modules(sorted(package.glob("[a-z]*.py")))]
    for inner in sorted(path.parent for path in package.glob("*/__init__.py")):
        first_line = first_sentence(inner / "__init__.py")
        parts.append(
            f"## `{inner.name}`\n\n{first_line}\n\n{modules(sorted(inner.glob('[a-z]*.py')))}"
        )
    return "\n\n".join(parts)


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    return re.split(r"(?<=\.) ", text)[0].replace("|", "\\|")


# --- the page about the flow ----------------------------------------------------------------------


class FlowPage:
    """Writes docs/reference/flow.md of a contract."""

    def __init__(self, contract: Contract, texts: DocumentTexts, files: ContractFiles) -> None:
        self.contract, self.texts, self.files = contract, texts, files
        self.flows, self.owners = contract.flows, contract.owners

    def text(self) -> str:
        """Return the page: steps and participants of every flow, topics, access rights."""
        parts = [
            "# Who is told what",
            f"Made by `python -m sagakit.contract.docs {self.files.package}` from "
            f"`{self.files.package}/flows/`, the `.avsc` files and the services' canvases. Do not "
            "edit it: edit those.",
        ]
        for flow in self.flows:
            parts += [f"## The flow `{flow.name}`", *_versions(flow), _step_table(flow)]
            parts += [part for name in flow.participants for part in self._participant(flow, name)]
        parts += ["## Topics", self._topic_table(), "## Access rights (Kafka ACLs)"]
        return "\n\n".join([*parts, self._acl_note(), self._acls()]) + "\n"

    def _participant(self, flow: Flow, name: str) -> Iterator[str]:
        yield f"### {name}"
        if text := canvas(self.files.root, name):
            yield f"```text\n{text}\n```"
        yield "Reads " + ", ".join(f"`{t}`" for t in topics_of(self.flows, name)) + "."
        labels = [flow.label(v) for v in flow.versions]
        by_version = [rules_of(flow, v, name) for v in flow.versions]
        events = dict.fromkeys(event for rules in by_version for event in rules)
        rows = [
            (
                f"{event} (`{topic(flow.owners[event])}`)",
                *(_cell(rules.get(event, ())) for rules in by_version),
            )
            for event in events
        ]
        yield table(("on", *labels), rows)
        own = [(event, self.contract.doc(event)) for event in self.contract.events_of(name)]
        yield table(("emits", "which says"), own)

    def readers(self) -> dict[str, list[str]]:
        """Return topic -> readers: the participants by their routes, the monitor on every topic."""
        found: dict[str, list[str]] = {topic(owner): [] for owner in self.contract.topic_owners}
        for name in self.contract.participants:
            for read in topics_of(self.flows, name):
                found[read].append(name)
        return {name: [*those, "saga monitor"] for name, those in found.items()}

    def _topic_table(self) -> str:
        rows = [
            (f"`{name}`", writer(name.partition(".")[0]), ", ".join(those), ", ".join(events))
            for name, those in self.readers().items()
            for events in [self.contract.events_of(name.partition(".")[0])]
        ]
        rows += [
            (f"`{name}.dlt`", name, "people", "raw records that were parked, with `dlt-*` headers")
            for name in self.contract.participants
        ]
        rows.append(("`saga.clock`", "saga monitor", "nobody", "empty ticks: the broker's clock"))
        return table(("topic", "written by", "read by", "holds"), rows)

    def _acl_note(self) -> str:
        note = (
            "Each service has a principal of its own, and only that principal may write its topic, "
            "so the topic of an event says who published it. A service also reads its own topic, "
            "to see what it has published. `Read` and `Write` include `Describe`."
        )
        return f"{note} {self.texts.access}".rstrip()

    def _acls(self) -> str:
        rows = []
        for name in self.contract.participants:
            own = (topic(name), f"{name}.dlt")
            read = ", ".join(f"`{t}`" for t in sorted({*topics_of(self.flows, name), *own}))
            write = ", ".join(f"`{t}`" for t in own)
            rows.append((name, f"{read}; group `{name}`", write))
        every = ", ".join(f"`{topic(owner)}`" for owner in self.contract.topic_owners)
        monitor = (
            "saga monitor",
            f"{every}; group `saga-monitor`",
            f"`{topic(PLATFORM)}`, `saga.clock`",
        )
        return table(("principal", "Read", "Write"), [*rows, monitor])


def _versions(flow: Flow) -> list[str]:
    lines = []
    for version, places in flow.versions.items():
        sequence = " → ".join(" + ".join(place) for place in places)
        mark = " (default)" if version == flow.default_version else ""
        lines.append(f"- `{flow.label(version)}`{mark}: {sequence}")
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
    return table(("step", "kind", "done", "failed", "undone", "deadline", "waits"), rows)


def _asks(step: Step, event: str) -> str:
    if (asked := step.asks.get(event)) is None:
        return ""
    remind, escalate = format_duration(asked.remind_s), format_duration(asked.escalate_s)
    after = f"again after {remind}, {asked.senior} after {escalate}"
    return f" (asks {asked.role}, {after})"


def _cell(rules: Iterable[Rule]) -> str:
    labels = {"do": "Do", "undo": "Undo", "verdict": "Command", "pause": "hold", "resume": "go on"}
    cells = [labels.get(r.kind) or f'Observed("{r.name}")' for r in rules]
    return ", ".join(cells) or "—"


def canvas(root: Path, participant: str) -> str:
    """Return the docstring of a service's package, read without importing it; empty if none."""
    path = root / "services" / participant / "__init__.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "") if path.exists() else ""


def format_duration(seconds: float) -> str:
    """Format seconds in the largest unit that divides them: 86400 is `1d`, 90 is `90s`."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds * 1000)}ms"


# --- all together ---------------------------------------------------------------------------------


def replace_section(text: str, name: str, content: str, page: Path) -> str:
    """Return `text` of a page with the part between the markers of `name` replaced.

    Raises ContractError naming page and markers where they are missing.
    """
    begin, end = f"<!-- made by sagakit.contract.docs: {name} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ContractError(f"{page} needs one line {begin} and, further down, one line {end}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def documents(files: ContractFiles) -> dict[Path, str]:
    """Return every generated document of a contract: path below its root -> text."""
    contract, texts, root = load_contract(files.package), read_texts(files), files.root
    sections = [(GRAPHS, "flow", graphs(contract.flows))]
    sections += [
        (page, name, module_tables(root, page, package))
        for name, (page, package) in texts.modules.items()
    ]
    sections += [
        (page, name, f"```python\n{(root / source).read_text()}```")
        for name, (page, source) in texts.code.items()
    ]
    return {
        **{
            page: replace_section((root / page).read_text(), name, text, page)
            for page, name, text in sections
            if (root / page).exists()
        },
        FLOW_PAGE: FlowPage(contract, texts, files).text(),
        ASYNCAPI: "\n".join(yaml(asyncapi(contract, texts.title))) + "\n",
    }


def main(arguments: Sequence[str]) -> int:
    """Write changed documents; with `--check` only return exit status 1 if any differs."""
    return make("sagakit.contract.docs", __doc__, arguments, documents)


if __name__ == "__main__":
    sys.exit(run_tool(main))
