"""Store the monitor's state: tables, queries, the archive of ended sagas, lineage.

Imports `saga`.
"""
