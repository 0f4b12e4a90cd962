"""Serves fakes of the outside: settings, durable ledger, timers, webhooks, rehearsed trouble.

What the fakes of an application do is the application's: a pure state machine each
(`machine` says how one is built), with a shell that serves it over HTTP.
"""
