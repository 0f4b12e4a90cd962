"""Fakes of the services outside: each a process of its own with a ledger of its own."""
