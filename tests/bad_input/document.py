"""Writes docs/reference/bad-input.md from the corpus; `--check` only compares.

python -m tests.bad_input.document [--check]
"""

import sys
from collections import defaultdict
from pathlib import Path

from tests.bad_input.case import Case
from tests.bad_input.corpus import CORPUS

PAGE = Path(__file__).parents[2] / "docs/reference/bad-input.md"
HEAD = """# Bad input, and what it gets

Made by `python -m tests.bad_input.document` from the corpus in `tests/bad_input`, whose tests check
every row. Edit the corpus, not this page.

Every bad input gets an answer that names the input, the reason and the remedy. No process crashes
or hangs, no request is answered with 500, and other requests and records are served as usual. A
record that cannot be handled is parked under its order, with the code named here; an order that is
not valid is refused by an event with its reason; see
[the runbook](../runbooks/parked-record.md).
Besides these {number} named cases, every HTTP API is tested against its own description
(schemathesis), and records, webhooks, flow files and the environment with generated input
(hypothesis).
"""


def page() -> str:
    """The page."""
    endpoints: dict[str, list[Case]] = defaultdict(list)
    for case in CORPUS:
        endpoints[case.where].append(case)
    parts = [HEAD.format(number=len(CORPUS))]
    for endpoint, cases in endpoints.items():
        rows = [f"| {case.name} | {case.gets} | {_answer_text(case)} |" for case in cases]
        table = ["| case | gets | the message says |", "| --- | --- | --- |", *rows]
        parts.append(f"## {endpoint[0].upper()}{endpoint[1:]}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _answer_text(case: Case) -> str:
    """The words of the message; Markdown takes no bar and no angle bracket in a table."""
    words = " … ".join(case.words) or "-"
    return words.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page, or say that it is stale."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.exit("docs/reference/bad-input.md is stale: run python -m tests.bad_input.document")


if __name__ == "__main__":
    main()
