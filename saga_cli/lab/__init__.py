"""Implements the commands that run and break a stack; imported by name from `saga_cli.main`."""
