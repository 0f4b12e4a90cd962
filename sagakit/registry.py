"""A Confluent-compatible schema registry over HTTP (subject strategy TopicRecordName).

API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from sagakit.errors import ConfigurationError

COMPATIBILITY = "FULL_TRANSITIVE"
JSON = {"content-type": "application/vnd.schemaregistry.v1+json"}
_patient = retry(
    retry=retry_if_exception_type(httpx.TransportError),
    wait=wait_exponential_jitter(multiplier=0.2, max=5.0),
    stop=stop_after_delay(60),
    reraise=True,
)


class HttpRegistry:
    """See `codec.Registry`. Keeps connections until `close`."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=10.0)

    @_patient
    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """See `codec.Registry`. Raises ConfigurationError when the schema is refused."""
        self._client.put(
            f"/config/{subject}", content=json.dumps({"compatibility": COMPATIBILITY}), headers=JSON
        ).raise_for_status()
        answer = self._client.post(
            f"/subjects/{subject}/versions",
            content=json.dumps({"schema": json.dumps(schema)}),
            headers=JSON,
        )
        if answer.is_error:
            raise ConfigurationError(
                f"the schema registry refuses {subject}: {answer.text[:500]}; "
                "give new fields a default, never remove or retype one"
            )
        return int(answer.json()["id"])

    @_patient
    def lookup(self, schema_id: int) -> Mapping[str, Any]:
        """See `codec.Registry`."""
        answer = self._client.get(f"/schemas/ids/{schema_id}")
        if answer.status_code in (400, 404, 422):  # of an id that no schema can have, too
            raise KeyError(f"schema id {schema_id}")
        answer.raise_for_status()
        found: dict[str, Any] = json.loads(answer.json()["schema"])
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
