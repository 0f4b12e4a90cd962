"""Format times in texts for people."""

from datetime import UTC, datetime


def utc_seconds(at: datetime) -> str:
    """Return a time in UTC as ISO 8601, to the second: `2026-11-26T05:28:41Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
