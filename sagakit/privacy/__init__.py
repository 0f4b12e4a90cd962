"""Personal data, sealed at the front door and opened at the edge.

Imports only the errors.
"""
