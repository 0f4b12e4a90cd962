"""Implements the command `saga`.

| part | holds |
|---|---|
| `main` | the command, and the table of its subcommands |
| `monitor` | commands that ask the monitor or give it a person's command |
| `lab` | commands that run a stack on this machine, place sagas in it, and break it |
| `declarations` | arguments, lists and person's commands of the monitor |
| `application` | the application that a command works with, and the commands it adds |
| `client` | HTTP calls to the monitor and the services |
| `output` | tables, times and colours on a terminal |
"""
