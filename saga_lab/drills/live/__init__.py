"""Rehearses a recovery beside a running stack: what is rebuilt is compared with what is live.

Nothing is lost, stopped or changed. What is made beside the live rows is dropped at the end; what
a killed drill left is dropped by the next one.

| module | what it does |
|---|---|
| `participant` | rebuilds a participant's database into another one beside it, and compares them |
| `monitor` | replays the topics into a shadow beside the live projection, and compares them |
| `comparison` | the result of one database |
| `report` | turns what was compared into a scored report |
"""
