"""Publishes committed events to Kafka: the relay, its check after a crash, and republishing.

It imports the store and the Kafka clients; handling does not import it.
"""
