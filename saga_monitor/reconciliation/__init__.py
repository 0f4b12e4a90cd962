"""The outside's ledgers against the books of the participants.

Imports `operations` and below.
"""
