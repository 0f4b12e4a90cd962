"""The embedded stack: Kafka, PostgreSQL, the outside world and every service, on one machine.

`Stack.up(home)` starts it, `Stack(home).down()` stops it; both are what the `saga up` and
`saga down` commands call. What runs where is in `stack.json` in the stack's home.
"""

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import Kind, StackOptions
from saga_lab.devstack.stack import Stack

__all__ = ["Kind", "Stack", "StackError", "StackOptions"]
