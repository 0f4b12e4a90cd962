"""Measures what the platform costs, and what its alternatives cost. See README.md here."""
