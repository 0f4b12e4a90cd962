"""Talks to a Confluent-compatible schema registry over HTTP (subject strategy TopicRecordName).

API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
    wait_random_exponential,
)

from sagakit.errors import ConfigurationError

COMPATIBILITY = "FULL_TRANSITIVE"
JSON = {"content-type": "application/vnd.schemaregistry.v1+json"}
_patient = retry(
    retry=retry_if_exception_type(httpx.TransportError),
    wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
    stop=stop_after_delay(60),
    reraise=True,
)


def _refused(subject: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the schema registry refuses {subject}: {reason}; "
        "give new fields a default, never remove or retype one"
    )


class _Conflict(Exception):
    """HTTP 409: another process is changing the same subject, or the schema is refused."""


_looked_up_again = retry(
    retry=retry_if_exception_type(_Conflict),
    wait=wait_random_exponential(multiplier=0.1, max=1.0),
    stop=stop_after_attempt(8),
    reraise=True,
)


class HttpRegistry:
    """Implements `codec.Registry` over HTTP. Keeps connections open until `close`."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=10.0)

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """See `codec.Registry`. Raises ConfigurationError if the registry refuses the schema.

        Services that start together register the same subjects; one that gets a conflict looks up
        the schema that the other has registered, and retries if there is none.
        """
        try:
            return self._register(subject, json.dumps({"schema": json.dumps(schema)}))
        except _Conflict as error:
            raise _refused(subject, str(error)) from None

    @_patient
    @_looked_up_again
    def _register(self, subject: str, schema: str) -> int:
        self._set_compatibility(subject)
        answer = self._client.post(f"/subjects/{subject}/versions", content=schema, headers=JSON)
        if answer.status_code == 409:
            known = self._client.post(f"/subjects/{subject}", content=schema, headers=JSON)
            if known.is_error:
                raise _Conflict(answer.text[:500])
            answer = known
        if answer.is_error:
            raise _refused(subject, answer.text[:500])
        return int(answer.json()["id"])

    def _set_compatibility(self, subject: str) -> None:
        answer = self._client.put(
            f"/config/{subject}", content=json.dumps({"compatibility": COMPATIBILITY}), headers=JSON
        )
        if answer.status_code == 409:
            raise _Conflict(answer.text[:500])
        answer.raise_for_status()

    @_patient
    def lookup(self, schema_id: int) -> Mapping[str, Any]:
        """See `codec.Registry`."""
        answer = self._client.get(f"/schemas/ids/{schema_id}")
        if answer.status_code in (400, 404, 422):  # 400, 422: the id itself is not valid
            raise KeyError(f"schema id {schema_id}")
        answer.raise_for_status()
        found: dict[str, Any] = json.loads(answer.json()["schema"])
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
