"""Counts what a contender asks of PostgreSQL and Kafka, in proxies before the servers.

Counts do not depend on the machine or its load, and any client is counted alike.
"""
