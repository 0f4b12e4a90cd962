"""The monitor's tables: rows, queries, the archive of ended sagas, lineage.

Imports `saga`.
"""
