"""How the cost of an order changes with replicas, with what is in flight, and with history."""
