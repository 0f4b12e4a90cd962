"""Read and format times for people."""

from datetime import UTC, datetime

_EXAMPLE = "2026-11-26T05:28:41Z"


def utc_seconds(at: datetime) -> str:
    """Return a time in UTC as ISO 8601, to the second: `2026-11-26T05:28:41Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def utc_text(at: datetime) -> str:
    """Return a time in UTC as ISO 8601, to the microsecond where it has any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(written: str) -> datetime:
    """Return the time, in UTC, that a person wrote as ISO 8601 with a zone.

    Raises ValueError, which names the text, the reason and what to write instead.
    """
    quoted = ascii(written[:40])
    try:
        at = datetime.fromisoformat(written)
        known = at.tzinfo is not None
        at = at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{quoted} is not a time; write date, time and zone, such as {_EXAMPLE}"
        ) from error
    if not known:
        raise ValueError(
            f"{quoted} has no time zone, so it may be any of 24 hours; write for example {_EXAMPLE}"
        )
    return at
