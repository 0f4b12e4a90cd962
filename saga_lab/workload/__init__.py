"""Runs an application's sagas on the embedded stack: places them, acts as people, waits for ends.

| part | holds |
|---|---|
| `model` | kinds of sagas, and a saga to place |
| `client` | HTTP calls to the stack's processes |
| `interface` | `Workload`, which the application implements and its manifest names |
| `outcomes` | how a saga ended, and how far a run is |
| `deadlines` | deadlines under which a slow machine cannot change an end |
| `run` `background` | the run itself, and the run in a thread of its own |
"""

from saga_lab.workload.client import StackClient
from saga_lab.workload.interface import Workload, workload_of
from saga_lab.workload.model import End, Entrance, PlannedSaga, SagaKind, key_of, mixed

__all__ = [
    "End",
    "Entrance",
    "PlannedSaga",
    "SagaKind",
    "StackClient",
    "Workload",
    "key_of",
    "mixed",
    "workload_of",
]
