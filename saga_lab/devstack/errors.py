"""The only error type that the stack raises."""


class StackError(Exception):
    """Something in the environment keeps the stack from running: a port, the network, the disk, ...

    The message names the resource, the reason and the remedy; the command line prints it
    unchanged.
    """
