"""A participant's rows: ports, tables, the PostgreSQL and the in-memory store, rebuild.

Imports messages and below; handling, outbox and effects work through its ports.
"""
