"""Opens interventions for what participants cannot settle themselves.

Asks each participant for its cases: outcomes of effects that it cannot tell, calls that fail for
hours, events that the broker refuses, records that a person had it skip. Each becomes one
intervention, also after a restart: the id of its event is derived from the case.
"""

import threading
from collections.abc import Iterator, Mapping
from uuid import UUID, uuid5

import httpx2
import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError

from saga_monitor.operations.commands import CommandHandler
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.view import SagaView
from sagakit.contract.platform import InterventionOpened
from sagakit.errors import UnreadableState
from sagakit.messages.envelope import NAMESPACE
from sagakit.retry import retry_transaction
from sagakit.shared_secret import bearer_header

log = structlog.get_logger(__name__)
LOOK_EVERY_S = 10.0
ANSWER_S = 3.0
PAGE = 100
"""A participant answers so many cases at once, unless it is asked for more."""


class Case(BaseModel):
    """A case, as a participant's admin API reports it. id: the same for as long as it exists."""

    id: str
    saga: str
    code: str
    reason: str


_ANSWER = TypeAdapter(list[Case])


class CaseWatch:
    """Asks participants for their cases. Call `run` in a thread.

    participants: name -> base URL of any of its replicas; token: what it sends them, with the
    scope `read`.
    """

    def __init__(
        self,
        commands: CommandHandler,
        participants: Mapping[str, str],
        token: str | None = None,
    ) -> None:
        self._commands = commands
        self._urls = {name: url.rstrip("/") for name, url in participants.items()}
        self._client = httpx2.Client(
            timeout=ANSWER_S, trust_env=False, headers=bearer_header(token)
        )
        self._opened: set[UUID] = set()

    def run(self, stop: threading.Event) -> None:
        """Look every LOOK_EVERY_S seconds until stopped."""
        while not stop.is_set():
            for who in self._urls:
                self._look(who, stop)
            stop.wait(LOOK_EVERY_S)

    def _look(self, who: str, stop: threading.Event) -> None:
        for case in self._fetch(who):
            number = uuid5(NAMESPACE, f"case:{who}:{case.code}:{case.id}")
            if number not in self._opened:
                retry_transaction(lambda c=case, n=number: self._open(who, c, n), stop)  # type: ignore[misc]

    def _open(self, who: str, case: Case, number: UUID) -> None:
        def decide(saga: Saga, view: SagaView) -> Emission:
            reason = f"{who}: {case.reason}"
            opened = InterventionOpened(saga_id=saga.id, code=case.code, reason=reason)
            return Emission(number, opened, None)

        try:
            self._commands.accept(case.saga, decide, allow_unknown=True)
        except CommandRefused as refused:
            log.warning("no intervention opened", saga=case.saga, reason=refused.detail)
        except UnreadableState as error:  # its row may be corrected, so it is tried again
            log.error("no intervention opened", saga=case.saga, reason=str(error))
            return
        self._opened.add(number)

    def _fetch(self, who: str) -> Iterator[Case]:
        """Yield a participant's cases, page by page; if it does not answer, it is asked again."""
        url, page = f"{self._urls[who]}/admin/cases", dict[str, str]()
        try:
            while True:
                answer = self._client.get(url, params=page).raise_for_status()
                cases = _ANSWER.validate_json(answer.content)
                yield from cases
                if len(cases) < PAGE:
                    return
                page["after"] = cases[-1].id
        except (httpx2.HTTPError, ValidationError) as error:
            log.info("cases not known", participant=who, error=f"{type(error).__name__}: {error}")
