"""Judges deadlines in log time and emits the events that follow from them.

Imports `ingest` and below.
"""
