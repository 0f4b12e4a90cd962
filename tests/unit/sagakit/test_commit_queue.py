"""What a process commits reaches its relay in the order of the commits, or by the table."""

from uuid import UUID

import pytest

from sagakit.messages.envelope import OutboxRow
from sagakit.store.commit_queue import Commit, CommitQueue
from sagakit.store.ports import Changes, InboxRow

OTHER = UUID(int=7)
FLOW = (("flow", b"toy/1"),)


def leading() -> CommitQueue:
    queue = CommitQueue()
    queue.leave_to_table()
    return queue


def announced(queue: CommitQueue, *sagas: InboxRow) -> tuple[Commit, list[OutboxRow]]:
    """A transaction that adds a row for each of these sagas, about to be committed."""
    rows = [OutboxRow("t", saga.key.removeprefix("toy/"), FLOW, b"") for saga in sagas]
    commit = queue.announce(Changes(list(sagas), rows))
    assert commit is not None
    return commit, rows


def test_rows_come_in_the_order_of_the_announcements_not_in_that_of_the_hand_overs() -> None:
    queue, saga = leading(), InboxRow("toy/a")
    first, rows = announced(queue, saga)
    second, more = announced(queue, saga)
    queue.settle(second, more)
    assert queue.take(9) == [], "the first may have been committed before"
    queue.settle(first, rows)
    assert queue.take(9) == [*rows, *more]
    assert queue.take(9) == []


def test_what_was_rolled_back_is_passed_over() -> None:
    queue = leading()
    failed, _ = announced(queue, InboxRow("toy/a"))
    good, rows = announced(queue, InboxRow("toy/b"))
    queue.settle(failed, ())
    queue.settle(good, rows)
    assert queue.take(9) == rows


@pytest.mark.parametrize("outcome", ["rolled back", "unknown"])
def test_the_relay_is_woken_for_rows_that_waited_for_a_commit_without_any(outcome: str) -> None:
    """Given rows behind an open commit, when that one fails, then they are asked for at once."""
    queue, woken = leading(), list[int]()
    failed, _ = announced(queue, InboxRow("toy/a"))
    good, rows = announced(queue, InboxRow("toy/b"))
    queue.settle(good, rows)
    assert queue.take(9) == []
    queue.wake = lambda: woken.append(1)
    if outcome == "unknown":
        queue.lose(failed)
        assert queue.take(9) is None
    else:
        queue.settle(failed, ())
        assert queue.take(9) == rows
    assert woken


def test_a_row_of_a_saga_that_is_not_locked_is_published_from_the_table() -> None:
    """Given a row without the inbox row of its saga, nobody knows who wrote the one before."""
    queue = leading()
    rows = [OutboxRow("t", "b", FLOW, b"")]
    commit = queue.announce(Changes([InboxRow("toy/a")], rows))
    assert commit is not None
    queue.settle(commit, rows)
    assert queue.take(9) is None


def test_a_transaction_without_rows_has_no_place() -> None:
    assert leading().announce(Changes([InboxRow("toy/a")])) is None


def test_the_table_is_read_first_where_another_process_wrote_the_last_row() -> None:
    queue, saga = leading(), InboxRow("toy/a", sent_by=OTHER)
    own, rows = announced(queue, InboxRow("toy/b"))
    commit, more = announced(queue, saga)
    assert saga.sent_by not in (None, OTHER), "the next one finds this process"
    queue.settle(own, rows)
    queue.settle(commit, more)
    assert queue.take(9) == rows
    assert queue.take(9) is None
    queue.leave_to_table()
    assert queue.take(9) == [], "the table holds its rows"
    again, last = announced(queue, saga)
    queue.settle(again, last)
    assert queue.take(9) == last


def test_what_was_open_while_the_table_was_read_is_read_by_another_look() -> None:
    """It may be in that read or not; what comes after it must not pass it."""
    queue, saga = leading(), InboxRow("toy/a")
    first, rows = announced(queue, saga)
    queue.leave_to_table()
    second, more = announced(queue, saga)
    queue.settle(second, more)
    assert queue.take(9) == []
    queue.settle(first, rows)
    assert queue.take(9) is None


def test_after_an_unknown_outcome_nothing_of_before_is_trusted() -> None:
    """The lost transaction may have been committed: its rows would be in the table only."""
    queue, saga = leading(), InboxRow("toy/a")
    lost, _ = announced(queue, saga)
    behind, rows = announced(queue, saga)
    queue.lose(lost)
    queue.settle(behind, rows)
    assert queue.take(9) is None
    queue.leave_to_table()
    later, more = announced(queue, saga)
    queue.settle(later, more)
    assert queue.take(9) is None, "the process has another name since"


def test_a_process_that_does_not_lead_keeps_nothing_and_tells_the_leader() -> None:
    queue, woken = CommitQueue(), []
    queue.wake = lambda: woken.append(1)
    commit, rows = announced(queue, InboxRow("toy/a"))
    queue.settle(commit, rows)
    queue.leave_to_table()
    assert queue.take(9) == []
    assert woken == [1]
    kept, rows = announced(queue, InboxRow("toy/b"))
    queue.settle(kept, rows)
    queue.stop()
    assert queue.take(9) == []


def test_many_rows_are_handed_over_in_portions() -> None:
    queue = leading()
    taken = []
    for n in range(5):
        commit, rows = announced(queue, InboxRow(f"toy/{n}a"), InboxRow(f"toy/{n}b"))
        queue.settle(commit, rows)
    while rows := queue.take(4) or []:
        taken.append(len(rows))
    assert taken == [4, 4, 2]
