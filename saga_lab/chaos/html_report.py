"""Renders the report as one self-contained HTML file, from a Jinja2 template with autoescape."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

TEMPLATE = "report.html"


def render_html(report: Mapping[str, Any]) -> str:
    """Return the HTML page of a report, which has the keys of `ChaosReport`.

    Every value is escaped: saga ids and error texts come from outside.
    """
    environment = Environment(
        loader=PackageLoader("saga_lab.chaos"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(report, bars=[*map(_bar, report["faults"])])


def _bar(fault: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a bar of the timeline: its text, and its start and end in seconds."""
    starts = fault["injected_at"]
    text = f"{starts:.0f} s  {fault['kind']}: {fault['target']}"
    return {
        "text": f"{text}. Error: {fault['error']}" if fault["error"] else text,
        "failed": bool(fault["error"]),
        "starts": starts,
        "ends": fault["ready_at"] or fault["healed_at"] or starts,
    }
