"""Commands and reads of people and other programs, and the reason why a saga is blocked.

Imports `supervision` and below.
"""
