"""Replays the log into a shadow beside the live projection, compares the two, and swaps them.

| module | what it does |
|---|---|
| `bounds` | from where to where, as a person writes it; pure |
| `source` | the records: spans of the log, after an archive or not, and which are wanted |
| `target` | the shadow: a PostgreSQL schema with the projection's tables and its own progress |
| `pipeline` | source, fold, target: one partition number on all topics at a time |
| `workers` | the processes among which the partition numbers are shared |
| `compare`, `causes` | the rows that differ, and the event that made each difference |
| `promote` | a shadow becomes the live projection, and back |

Imports `ingest` and `storage`. Nothing here can publish or call: see `sagakit.replay_mode` and the
import contract in `pyproject.toml`.
"""
