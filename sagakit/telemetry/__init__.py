"""Provides metrics, traces and logs, with one wrapper around each measured part.

It imports the parts that it measures; they do not import it.
"""
