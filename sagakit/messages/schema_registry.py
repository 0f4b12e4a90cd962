"""Registers and looks up schemas in a Confluent-compatible registry (TopicRecordName subjects).

The HTTP client is Confluent's own. It brings credentials (`https://user:password@host`), the CA
bundle named by `SSL_CERT_FILE`, timeouts, a cache of schemas by id, and retries of lost connections
and of statuses 408, 429 and 5xx. It takes 20 MB: import this module only where a registry is
configured. API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from sagakit.errors import ConfigurationError
from sagakit.flow.routing import topic

COMPATIBILITY = "FULL_TRANSITIVE"
CLIENT = {
    "timeout": 10.0,  # of one request, in seconds
    # Waits are drawn from 0 up to 0.2, 0.4, ... 5 s: half a minute on average.
    "max.retries": 15,
    "retries.wait.ms": 200,
    "retries.max.wait.ms": 5000,
}
CONFLICT = 409
"""Another process is changing the same subject, or the schema is refused."""
NOT_FOUND = 404
NO_SUCH_ID = (400, NOT_FOUND, 422)
"""The registry does not have the id; 400 and 422: no registry could have it."""


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, SchemaRegistryError) and error.http_status_code == CONFLICT


class ConfluentRegistry:
    """Implements `codec.Registry`. Keeps connections open until `close`.

    `owner`: the participant whose process this is. Everybody registers a schema that is not there
    yet, but only the owner of the events restores a compatibility level that was changed.
    """

    def __init__(self, url: str, owner: str | None = None) -> None:
        self._client = SchemaRegistryClient({"url": url, **CLIENT})
        self._own = None if owner is None else f"{topic(owner)}-"

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """See `codec.Registry`. Raises ConfigurationError if the registry refuses the schema.

        A registry that does not answer raises the client's error instead.
        """
        try:
            return self._register(subject, Schema(json.dumps(schema), "AVRO"))
        except SchemaRegistryError as error:
            if error.http_status_code >= 500:
                raise
            raise ConfigurationError(
                f"the schema registry refuses {subject}: {str(error)[:500]}; "
                "give new fields a default, never remove or retype one"
            ) from error

    @retry(
        retry=retry_if_exception(_is_conflict),
        wait=wait_random_exponential(multiplier=0.1, max=1.0),
        stop=stop_after_attempt(8),
        reraise=True,
    )
    def _register(self, subject: str, schema: Schema) -> int:
        """Look a schema up, and register it only if it is not there.

        Services that start together register the same subjects, and all but one get a conflict;
        the next attempt finds the schema.
        """
        found = self._find(subject, schema)
        if found is None:
            self._client.set_compatibility(subject, COMPATIBILITY)
            return self._client.register_schema(subject, schema)
        if self._own is not None and subject.startswith(self._own):
            self._restore_compatibility(subject)
        return found

    def _find(self, subject: str, schema: Schema) -> int | None:
        """Return the id of a schema under its subject, None if it is not there."""
        try:
            return self._client.lookup_schema(subject, schema).schema_id
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:
                return None
            raise

    def _restore_compatibility(self, subject: str) -> None:
        """Set the level of a subject if it has another one, or none of its own."""
        level = None
        try:
            level = self._client.get_compatibility(subject)
        except SchemaRegistryError as error:
            if error.http_status_code != NOT_FOUND:
                raise
        if level != COMPATIBILITY:
            self._client.set_compatibility(subject, COMPATIBILITY)

    def lookup(self, schema_id: int) -> Mapping[str, Any]:
        """See `codec.Registry`.

        A registry that cannot answer now raises the client's error, never KeyError: no record is
        parked for that.
        """
        try:
            found = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code in NO_SUCH_ID:
                raise KeyError(f"schema id {schema_id}") from error
            raise
        schema: dict[str, Any] = json.loads(found.schema_str or "null")
        return schema

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
