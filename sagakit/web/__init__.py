"""Serves a participant over HTTP: app, errors, health, admin routes, ledgers, webhooks.

It imports telemetry and the layers below.
"""
