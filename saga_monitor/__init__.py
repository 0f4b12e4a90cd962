"""The passive saga monitor rebuilds the state of every saga from the topics alone."""

GROUP = "saga-monitor"
"""The consumer group of the monitor, unless its settings name another one."""
