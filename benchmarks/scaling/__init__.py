"""Measures how the cost of an order changes with replicas, orders in flight and history."""
