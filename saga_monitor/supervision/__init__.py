"""Judges deadlines in log time and emits what follows from them.

Imports `ingest` and below.
"""
