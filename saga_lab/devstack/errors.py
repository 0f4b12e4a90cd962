"""The one error of the stack."""


class StackError(Exception):
    """Something around the stack keeps it from running: a port, the network, the disk, ...

    The message names what it is about, why it failed and what to do; the command line prints
    it as it is.
    """
