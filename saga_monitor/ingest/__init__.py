"""From the topics into the tables: the Faust stream, the projection, the watermark.

Imports `storage` and `saga`.
"""
