"""Handles each micro-batch in one transaction: inbox, decide, evolve, parking, pauses.

It imports stores and messages, and knows neither HTTP nor the effect worker.
"""
