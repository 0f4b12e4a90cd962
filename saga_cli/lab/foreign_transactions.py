"""Keeps transactions of somebody else open while `saga demo` and `saga chaos` place sagas."""

from contextlib import AbstractContextManager, nullcontext

from saga_lab.application import contract_of
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.transactions import always_open


def foreign_transactions(stack: Stack, wanted: bool) -> AbstractContextManager[None]:
    """Return a block in which one is always open on every partition, if that is wanted."""
    if not wanted:
        return nullcontext()
    topics = contract_of(stack.application).topics
    return always_open(str(stack.read()["bootstrap_servers"]), topics)
