"""HTTP of a participant: the app with its errors and health, admin routes, ledgers, webhooks.

Imports telemetry and below.
"""
