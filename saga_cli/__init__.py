"""Implements the command `saga`."""
