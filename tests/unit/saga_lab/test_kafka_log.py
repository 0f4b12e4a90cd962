"""Cutting the log of a broker that is stopped."""

from pathlib import Path

from saga_lab.devstack.kafka_log import cut_tail, remove_partitions


def batch(number: int, content: bytes) -> bytes:
    return number.to_bytes(8, "big") + len(content).to_bytes(4, "big") + content


def partition(broker: Path, name: str, *contents: bytes, more: bytes = b"") -> Path:
    folder = broker / "log" / name
    folder.mkdir(parents=True)
    written = b"".join(batch(number, content) for number, content in enumerate(contents))
    (folder / "00000000000000000000.log").write_bytes(written + more)
    (folder / "00000000000000000000.index").touch()
    return folder / "00000000000000000000.log"


def test_a_share_of_each_partition_is_cut_at_the_begin_of_a_batch(tmp_path: Path) -> None:
    """Given a clean log of three partitions; when a third is cut; then whole batches are left,
    other topics as they were, and the broker has to look at what there is."""
    long = partition(tmp_path, "t-0", *[b"x" * n for n in range(1, 10)], more=bytes(100))
    one, empty = partition(tmp_path, "t-1", b"only"), partition(tmp_path, "t-2")
    other = partition(tmp_path, "t.u-0", b"kept")
    (tmp_path / "log" / ".kafka_cleanshutdown").touch()
    assert cut_tail(tmp_path, "t", 1 / 3) == 4
    assert long.read_bytes() == b"".join(batch(n - 1, b"x" * n) for n in range(1, 7))
    assert (one.read_bytes(), empty.read_bytes()) == (b"", b"")
    assert other.read_bytes() == batch(0, b"kept")
    assert not long.with_suffix(".index").exists()
    assert other.with_suffix(".index").exists()
    assert not (tmp_path / "log" / ".kafka_cleanshutdown").exists()


def test_half_of_the_partitions_are_removed_and_at_least_one(tmp_path: Path) -> None:
    """Given topics of three and of one partition; when half is lost; then whole folders are gone,
    other topics as they were, and the broker has to look at what there is."""
    kept = [partition(tmp_path, f"t-{n}", b"x") for n in range(3)]
    other, single = partition(tmp_path, "t.u-2", b"kept"), partition(tmp_path, "v-0", b"x")
    (tmp_path / "log" / ".kafka_cleanshutdown").touch()
    assert remove_partitions(tmp_path, "t", 1 / 2) == 1
    assert [log.parent.exists() for log in kept] == [True, True, False]
    assert remove_partitions(tmp_path, "v", 1 / 2) == 1
    assert not single.parent.exists()
    assert other.read_bytes() == batch(0, b"kept")
    assert not (tmp_path / "log" / ".kafka_cleanshutdown").exists()
