"""Holds the types and schemas of a set of events. Pure.

Every package above `flow` may import it.
"""
