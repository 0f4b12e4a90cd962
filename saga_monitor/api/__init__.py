"""HTTP routes of the monitor.

Imports `operations` and below; only `saga_monitor.service` imports it.
"""
