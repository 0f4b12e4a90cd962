"""The Kafka clients: a consumer in micro-batches, an idempotent publisher, an inspector.

The only package that imports confluent_kafka. Knows messages, and nothing of handling or stores.
"""
