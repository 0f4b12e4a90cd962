"""Committed events on their way to Kafka: the relay and what repairs it.

Imports the store and the Kafka clients; handling does not know it.
"""
