"""Runs a chaos run: real orders on the real stack, with faults drawn from a seed.

| part | holds |
|---|---|
| `fault` | the interface of a fault: inject, heal, healed |
| `processes` `servers` `outside` `bus` `links` | the faults, grouped by the part they break |
| `kinds` | the table of all kinds of faults, with their possible targets |
| `schedule` | seed -> faults with target and time; pure |
| `site` | the operations on a running stack that faults use |
| `load` | orders of every kind at a steady rate, which a fault can raise |
| `play` | the chaos run itself: load, faults, wait until idle, invariants |
| `figures` | recovery times, stalls and unexpected ends; pure |
| `report` `page` | the report, as JSON and as one HTML file |
"""
