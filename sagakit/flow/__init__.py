"""Reads the flow file and derives steps, versions, deadlines and routing from it. Pure.

Every other package may import it; it imports only the decider and the errors.
"""
