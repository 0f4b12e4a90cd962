"""Runs a participant as a process: its definition, its settings, and the wiring of all parts.

This is the top layer of the kit. Services import `definition`, `settings` and `process` from here.
"""
