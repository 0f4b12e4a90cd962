"""Names a saga by its flow and its saga id: the saga key. Pure.

A saga key is `<flow>/<saga id>`, such as `errand/2026-000123`: the name of the flow without its
version, a slash, and the saga id. The name holds no slash; the id may hold any number of them. An
event of no saga, or one whose flow is not known, has the key `/<record key>`.
The key of a Kafka record is the bare saga id, so that all events of a saga share a partition.
"""

import re
from functools import lru_cache

MAX_ID_CHARS = 128
MAX_FLOW_CHARS = 100
MAX_SAGA_KEY_CHARS = MAX_FLOW_CHARS + 1 + MAX_ID_CHARS
FLOW_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_FLOW_CHARS}}}")


def saga_key(flow: str, saga_id: str) -> str:
    """Return the key of a saga of the flow named `flow`; `""` for what belongs to no flow."""
    return f"{flow}/{saga_id}"


def split_key(key: str) -> tuple[str, str]:
    """Return the name of the flow and the saga id in a saga key. Raises ValueError."""
    flow, slash, saga_id = key.partition("/")
    if not slash:
        raise ValueError(f"{key[:80]!r} is no saga key; write it as flow/id, such as errand/{key}")
    return flow, saga_id


@lru_cache(maxsize=256)
def flow_name(label: str | None) -> str:
    """Return the name of the flow in a label `name/version`, `""` if there is none in it."""
    name = (label or "").partition("/")[0]
    return name if FLOW_NAME.fullmatch(name) else ""
