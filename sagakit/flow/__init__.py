"""The flow file and what is derived from it: steps, versions, deadlines, routing. Pure.

Every other package may import it; it imports only the decider and the errors.
"""
