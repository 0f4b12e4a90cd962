"""Renders the report as one self-contained HTML file, from a Jinja2 template with autoescape."""

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

HERE = "saga_lab.chaos"
TEMPLATE = "report.html"


def render_html(report: Mapping[str, Any]) -> str:
    """Return the HTML page of a report, which has the keys of `ChaosReport`."""
    return render_page(HERE, TEMPLATE, {**report, "bars": [*map(_bar, report["faults"])]})


def render_page(package: str, template: str, values: Mapping[str, Any]) -> str:
    """Return a page by a template of `package`, which may include and import those of this one.

    Every value is escaped: saga ids and error texts come from outside.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(HERE)]),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


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
