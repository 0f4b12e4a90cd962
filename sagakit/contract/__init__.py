"""Holds the types, schemas and flows of a set of events, and the tools that make files from them.

`model` and `marks` are pure; `files` and `loader` read the files of a package. The tools are
`python -m sagakit.contract.generate`, `compat`, `docs` and `asyncapi`, each with the name of the
contract's package.
"""
