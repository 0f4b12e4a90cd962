"""Implements the commands that ask the monitor; imported by name from `saga_cli.main`."""
