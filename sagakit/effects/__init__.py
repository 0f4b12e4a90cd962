"""Calls the outside world after the commit, under a lease.

It imports handling, through which results come back.
"""
