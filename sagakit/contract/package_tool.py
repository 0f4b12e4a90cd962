"""Reads the command line of the tools that make or check a contract's files."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from sagakit.contract.files import ContractFiles, files_of
from sagakit.errors import ContractError, FlowError


def read_arguments(
    module: str,
    doc: str | None,
    arguments: Sequence[str],
    *,
    check: bool = False,
    release: bool = False,
) -> tuple[ContractFiles, Namespace]:
    """Return the files of the package that a module's command line names, and its options.

    Raises ContractError if there is no such package.
    """
    parser = ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("package", help="the package that holds the contract, such as schemas")
    if check:
        parser.add_argument("--check", action="store_true", help="only compare")
    if release:
        parser.add_argument("--release", type=int, metavar="N", help="keep the schemas as set N")
    asked = parser.parse_args(arguments)
    return files_of(asked.package), asked


def run_tool(main: Callable[[Sequence[str]], int]) -> int:
    """Run a tool on the command line; a bad contract prints one line, with exit status 2."""
    try:
        return main(sys.argv[1:])
    except (ContractError, FlowError) as error:
        print(error, file=sys.stderr)
        return 2
