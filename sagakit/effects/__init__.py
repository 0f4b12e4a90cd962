"""Calls to the outside world, after the commit, under a lease.

Imports handling, through which results come back.
"""
