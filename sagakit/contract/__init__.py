"""Holds the types, schemas and flows of a set of events, and the tools that make files from them.

`model` and `marks` are pure; `files` and `loader` read the files of a package. The tools are
`python -m sagakit.contract.generate`, `compat`, `docs` and `asyncapi`, each with the name of the
contract's package.
"""

from sagakit.contract.loader import load_contract
from sagakit.contract.model import Contract, saga_id_of

__all__ = ["Contract", "load_contract", "saga_id_of"]
