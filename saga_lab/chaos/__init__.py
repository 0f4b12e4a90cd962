"""Runs sagas on a real stack while it injects faults that a seed chooses.

| part | holds |
|---|---|
| `fault` | the interface of a fault: inject, heal, healed |
| `processes` `servers` `fakes` `kafka_data` `links` | the faults by what they break |
| `kinds` | all kinds of faults, with their targets; an application adds those of its fakes |
| `schedule` | seed -> faults with target and time; pure |
| `site` | the operations on a running stack that faults use |
| `load` | sagas of every kind at a steady rate, which a fault can raise |
| `runner` | the chaos run itself: load, faults, wait until idle, invariants |
| `figures` | recovery times, stalls and unexpected ends; pure |
| `report` `html_report` | the report, as JSON and as one HTML file |
"""
