"""Wraps the Kafka clients: a consumer in micro-batches, an idempotent publisher, an inspector.

Within the kit only this package imports confluent_kafka. It imports messages, but neither handling
nor stores.
"""
