"""A participant as a process: its definition, its settings, and everything wired once.

The top of the kit. Services import `definition`, `settings` and `process` from here.
"""
