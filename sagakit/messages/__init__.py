"""Defines events on the wire: envelope, codec, schema registry, trace ids.

Every package that reads, handles or publishes records imports it.
"""
