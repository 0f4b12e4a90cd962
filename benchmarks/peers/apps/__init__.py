"""Holds the programs of the peers.

They run in an environment of their own (`benchmarks.peers.environment`). Of this project they
import only each other.
"""
