"""The embedded stack: Kafka, PostgreSQL, the outside world and every service, on one machine.

`Stack.up(home)` starts it, `Stack(home).down()` stops it; both are what the `saga up` and
`saga down` commands call. What runs where is in `stack.json` in the stack's home.
"""

from sandbox.stack.errors import StackError
from sandbox.stack.options import Kind, StackOptions
from sandbox.stack.stack import Stack

__all__ = ["Kind", "Stack", "StackError", "StackOptions"]
