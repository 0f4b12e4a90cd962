"""Rebuilds a participant's lost database from the topics.

| module | what it does |
|---|---|
| `plan` | what is read, and what the log no longer holds |
| `target` | the new database: its progress, its lock, what is not recovered |
| `backup_guard` | refuses a start on a database that is older than what was read for it |
| `unfinished` | refuses a start on a database whose rebuild is not over |
| `answered` | leaves out of a decision what own events have answered |
| `lost` | passes over sagas whose start event the log no longer holds |
| `log_reader` | feeds the log to the consumer loop |
| `own_topic` | folds the own topic by `evolve` |
| `review` | reviews each decision before it is carried out |
| `rebuild` | own topic by `evolve`, then what is consumed by the usual handler |

Nothing here can publish or call: see `sagakit.replay_mode` and the import contract in
`pyproject.toml`.
"""
