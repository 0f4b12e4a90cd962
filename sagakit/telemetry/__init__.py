"""Metrics, traces and logs: one wrapper around each part that is measured.

Imports what it measures; what is measured does not import it.
"""
