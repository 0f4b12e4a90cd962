"""Rehearses disasters: traffic, a loss, the way back, and a score with every lost point named.

| module | what it does |
|---|---|
| `disasters` | lost databases, and how they are recovered |
| `topic_loss` | lost topics, and how they are recovered |
| `registry_loss` | a schema registry that has lost its schemas |
| `poisoned_topic` | records that nobody can read, and how they are discarded |
| `clocks_apart` | a participant whose clock is wrong |
| `older_records` | a lost database whose topic an older release wrote |
| `region_loss` | the loss of everything, and how it is recovered from an archive |
| `scenarios` | the table of scenarios |
| `score` | points of 100, and what cost the others |
| `report` | the report as JSON and HTML, and the metrics of the last drill |
"""
