"""Fetches the books to compare.

Participants serve their own books, and the ledgers of the outside services that they call; the
sagas come from the monitor's tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, text

from saga_monitor.reconciliation.rules import ComparedSaga, Rows, Rules, Work
from saga_monitor.storage.tables import live_and_history
from sagakit.shared_secret import bearer_header
from sagakit.urls import redacted

T = TypeVar("T")
PAGE, MOST_PAGES = 10_000, 1000
TIMEOUT_S = 60.0
# Includes the history tables: the outside world's ledgers reach further back than `saga`.
SAGAS = text(f"""
    SELECT saga, status, updated_at <= :before AS quiet, coalesce(balances, '{{}}') AS balances
    FROM {live_and_history("saga", "saga, status, updated_at")}
    LEFT JOIN (
        SELECT saga, jsonb_object_agg(name, jsonb_build_array(added, removed)) AS balances
        FROM (
            SELECT saga, name, sum(added) AS added, sum(removed) AS removed
            FROM {live_and_history("balance", "saga, name, added, removed")}
            GROUP BY saga, name) AS sums
        GROUP BY saga) AS moved USING (saga)
    WHERE status <> 'unplaced'
""")


class SourceUnavailable(Exception):
    """Books cannot be read; the message names the source that failed, and the remedy."""


class BookReader:
    """Reads all books over HTTP.

    participants: name -> base URL of any replica; token: what it sends them, with the scope `read`.
    """

    def __init__(self, participants: Mapping[str, str], token: str | None = None) -> None:
        self._urls = {name: url.rstrip("/") for name, url in participants.items()}
        self._client = httpx2.Client(
            timeout=TIMEOUT_S, trust_env=False, headers=bearer_header(token)
        )

    def read(self, rules: Rules) -> tuple[Rows, Mapping[str, frozenset[Work]]]:
        """Return all rows by the name of their ledger or book, and saga -> work in progress.

        The ledgers are read first and the work in progress last. So a change in between is still in
        progress, or in the log after the start of the run. Raises SourceUnavailable.
        """
        if not self._urls:
            raise SourceUnavailable("the monitor knows no participant; set SAGA_PARTICIPANTS")
        kept = {who: self._get(f"{url}/admin/books", {}) for who, url in self._urls.items()}
        found: dict[str, list[Any]] = {name: [] for name in (*rules.ledgers, *rules.books)}
        for kind, shapes in (("ledgers", rules.ledgers), ("books", rules.books)):
            for who, url in self._urls.items():
                for name in sorted(shapes.keys() & set(kept[who][kind])):
                    found[name] += self._rows(f"{url}/admin/{kind}/{name}", shapes[name])
        missing = sorted(name for name in found if not self._kept(kept, name))
        if missing:
            who = ", ".join(sorted(self._urls))
            raise SourceUnavailable(
                f"none of {who} keeps {', '.join(missing)}; add the missing participant to "
                "SAGA_PARTICIPANTS"
            )
        busy: dict[str, frozenset[Work]] = {}
        for who, url in self._urls.items():
            for row in self._pages(f"{url}/admin/books/busy"):
                work = {Work(who, kind) for kind in row.get("kinds") or [""]}
                busy[row["saga"]] = busy.get(row["saga"], frozenset()) | work
        return found, busy

    def _kept(self, kept: Mapping[str, Any], name: str) -> bool:
        return any(name in (*names["books"], *names["ledgers"]) for names in kept.values())

    def _rows(self, url: str, shape: type[T]) -> list[T]:
        wanted = {field.name for field in fields(shape)}  # type: ignore[arg-type]
        rows = [{k: v for k, v in row.items() if k in wanted} for row in self._pages(url)]
        try:
            return TypeAdapter(list[shape]).validate_python(rows)  # type: ignore[valid-type]
        except ValidationError as error:
            wrong = error.errors()[0]
            raise SourceUnavailable(
                f"{redacted(url)} sent a row of the wrong form: {wrong['msg']}"
            ) from error

    def _pages(self, url: str) -> Iterator[Mapping[str, Any]]:
        cursor = "offset" if "/ledgers/" in url else "after"
        more: Any = None
        for _ in range(MOST_PAGES):
            query = {"limit": PAGE, **({cursor: more} if more is not None else {})}
            answer = self._get(url, query)
            yield from answer["data"]
            more = answer["next"]
            if more is None:
                return
        raise SourceUnavailable(
            f"{url} does not end after {MOST_PAGES * PAGE} rows; does its total always grow?"
        )

    def _get(self, url: str, params: Mapping[str, Any]) -> Any:
        try:
            answer = self._client.get(url, params=params)
            if answer.is_error:
                raise SourceUnavailable(
                    f"{redacted(url)} answers {answer.status_code}: {answer.text[:300]}"
                )
            return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            failure = redacted(f"{url}: {type(error).__name__}: {error}").rstrip(": ")
            raise SourceUnavailable(f"{failure}; is that participant running?") from error


def sagas(engine: Engine, before: datetime) -> dict[str, ComparedSaga]:
    """Return the started sagas by key. quiet: no event of the saga came after `before`."""
    with engine.connect() as connection:
        rows = connection.execute(SAGAS, {"before": before})
        return {
            row.saga: ComparedSaga(
                row.saga,
                row.status,
                row.quiet,
                {name: (added, removed) for name, (added, removed) in row.balances.items()},
            )
            for row in rows
        }
