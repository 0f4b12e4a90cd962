"""Connects courier to the partner: `POST /v1/jobs` with the header `Idempotency-Key`.

Only the two business answers count as an answer. Whatever else comes (a timeout, a 500, garbage)
leaves the outcome unknown: the kit asks again later, under the same key.
"""

from typing import Any

from sagakit import Effect, HttpClient, HttpGateway

from courier.decide import Done, Refused

REASONS = ("nobody goes there",)
"""Why the partner refuses a job. Other words of it may quote what it was sent: they are not kept."""


class HttpPartner:
    """Calls the partner over HTTP. The caller closes `client`; `base_url` has no path."""

    def __init__(self, client: HttpClient, base_url: str) -> None:
        self._http = HttpGateway("partner", client, base_url)

    async def ask(self, effect: Effect) -> Done | Refused:
        """Have a job done, or return what became of it. Raises EffectFailed if it is unknown."""
        facts: Any = effect.payload["facts"]
        body = {
            "reference": effect.saga,
            "note": facts["note"],
            "minutes": facts["minutes"],
        }
        match await self._http.call("POST", "/v1/jobs", effect.idempotency_key, body):
            case {"id": str(job_id), "status": "done"}:
                return Done(job_id)
            case {"status": "refused", "reason": str(reason)}:
                return Refused(reason if reason in REASONS else "for a reason not known here")
            case answer:
                raise self._http.unusable(f"job {effect.idempotency_key}", answer)
