"""Damages the logs of an embedded broker that does not run: last writes or partitions are lost."""

import shutil
from collections.abc import Iterator
from pathlib import Path

_UNCLEAN = (".kafka_cleanshutdown", "recovery-point-offset-checkpoint")
"""Files by which a broker knows that its logs are whole; without them it looks at each log."""
_MADE_AGAIN = ("*.index", "*.timeindex", "*.txnindex", "*.snapshot")
"""Files of a partition that a broker makes from its log."""
_LENGTH_AT, _HEAD_BYTES = 8, 12
"""A batch begins with its offset (8 bytes) and the number of bytes behind these two (4 bytes).

Source: https://kafka.apache.org/documentation/#recordbatch
"""


def cut_tail(broker: Path, topic: str, share: float) -> int:
    """Cut the last batches of each partition of a topic; return how many.

    broker: the folder of a broker that is stopped; share: of the batches of the newest segment, at
    least one is cut.
    """
    cut = 0
    for partition in _partitions(broker, topic):
        for pattern in _MADE_AGAIN:
            for made in partition.glob(pattern):
                made.unlink()
        segment = max(partition.glob("*.log"))
        begins = list(_batches(segment.read_bytes()))
        if begins:
            lost = max(1, round(len(begins) * share))
            with segment.open("r+b") as file:
                file.truncate(begins[-lost])
            cut += lost
    _forget_clean_stop(broker)
    return cut


def remove_partitions(broker: Path, topic: str, left: float) -> int:
    """Remove the last partitions of a topic with their records; return how many.

    broker: the folder of a broker that is stopped; left: the share that is left, at least one is
    removed. The broker makes empty ones when it starts.
    """
    partitions = _partitions(broker, topic)
    removed = partitions[min(round(len(partitions) * left), len(partitions) - 1) :]
    for partition in removed:
        shutil.rmtree(partition)
    _forget_clean_stop(broker)
    return len(removed)


def _partitions(broker: Path, topic: str) -> list[Path]:
    return sorted((broker / "log").glob(f"{topic}-[0-9]*"))


def _forget_clean_stop(broker: Path) -> None:
    for name in _UNCLEAN:
        (broker / "log" / name).unlink(missing_ok=True)


def _batches(content: bytes) -> Iterator[int]:
    """Yield where each whole batch begins."""
    at = 0
    while at + _HEAD_BYTES <= len(content):
        length = int.from_bytes(content[at + _LENGTH_AT : at + _HEAD_BYTES], "big")
        if length <= 0 or at + _HEAD_BYTES + length > len(content):
            return  # preallocated or half written
        yield at
        at += _HEAD_BYTES + length
