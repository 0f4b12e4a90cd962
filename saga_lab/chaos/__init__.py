"""A gameday: real orders on the real stack, and faults at moments that a seed draws.

| part | holds |
|---|---|
| `fault` | what a fault is: inject, heal, healed |
| `processes` `servers` `outside` `bus` `links` | the faults, by what they break |
| `kinds` | the table of all kinds, with the targets they can have |
| `schedule` | seed -> which fault, on what, when; pure |
| `site` | the stack as a fault takes hold of it |
| `load` | orders of every kind at a steady pace, which a fault can quicken |
| `play` | the gameday itself: load, faults, rest, judgement |
| `figures` | recovery and stalls, out of what was noted; pure |
| `report` `page` | what is written down, as JSON and as one HTML file |
"""
