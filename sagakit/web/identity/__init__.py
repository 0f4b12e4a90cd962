"""Finds out who sends a request, and what they may do here.

`scopes` and `tokens` need no web framework, so that the command line and the lab use them too.
"""
