"""Reads the topics into the tables with the Faust stream, the projection and the watermark.

Imports `storage` and `saga`.
"""
