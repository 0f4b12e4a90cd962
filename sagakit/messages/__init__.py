"""Events on the wire: envelope, codec, schema registry, trace ids.

Imported by everything that reads, handles or publishes records.
"""
