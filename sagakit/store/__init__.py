"""Stores a participant's rows: ports, tables, PostgreSQL and in-memory store, rebuild.

It imports messages and the packages below; handling, outbox and effects use its ports.
"""
