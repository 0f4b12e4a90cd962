"""Checks the names of people who act: no person acts under a name of the machine's own. Pure."""

import re
import unicodedata

from sagakit.identity import is_plain

MAX_ACTOR_CHARS = 200
_MACHINE = ("system", "saga_monitor", "sagamonitor", "systemtimeout")
_PARTS = re.compile(r"[\W_]+")


def personal_actor(name: str) -> str:
    """Return the name of a person who acts. Raises ValueError for a name nobody may act under.

    Events of the monitor's own carry `system_timeout` and `saga_monitor`, and those who read the
    log believe them; a name that looks the same after Unicode's folding is refused as well.
    """
    if not name.strip() or not is_plain(name) or len(name) > MAX_ACTOR_CHARS:
        raise ValueError(f"write a name of 1 to {MAX_ACTOR_CHARS} printable characters")
    folded = _PARTS.sub("_", unicodedata.normalize("NFKC", name).casefold()).strip("_")
    if folded in _MACHINE or folded.startswith("system_"):
        raise ValueError("this name is reserved for the system itself; write who you are")
    return name
