"""Serves commands and reads of people and programs, and finds the reason why a saga is blocked.

Imports `supervision` and below.
"""
