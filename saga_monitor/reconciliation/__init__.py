"""Compares the ledgers of the outside world with the books of the participants.

Imports `operations` and below.
"""
