"""One transaction for each micro-batch: inbox, decide, evolve, parking, pauses.

Imports stores and messages; knows neither HTTP nor effects.
"""
