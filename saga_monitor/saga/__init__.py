"""Derive a saga's state from its events: facts, plan, interpretation, deadlines, commands. Pure.

Every package of the monitor imports it; it imports none of them.
"""
