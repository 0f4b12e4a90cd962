"""Writes pages that are made from a contract, or checks that they are as they would be made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sagakit.contract.files import ContractFiles
from sagakit.contract.package_tool import read_arguments


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def make(
    module: str,
    doc: str | None,
    arguments: Sequence[str],
    pages: Callable[[ContractFiles], Mapping[Path, str]],
) -> int:
    """Write the pages that differ; with `--check` only return exit status 1 if any does.

    module, doc: of the tool that makes them; pages: below the project's folder, with their texts.
    Raises ContractError.
    """
    files, asked = read_arguments(module, doc, arguments, check=True)
    stale = {
        path: text
        for path, text in pages(files).items()
        if not (files.root / path).exists() or (files.root / path).read_text() != text
    }
    for path, text in stale.items():
        if asked.check:
            print(f"{path} is out of date; run `python -m {module} {files.package}`")
            continue
        (files.root / path).parent.mkdir(parents=True, exist_ok=True)
        (files.root / path).write_text(text)
        print(f"written: {path}")
    return 1 if stale and asked.check else 0
