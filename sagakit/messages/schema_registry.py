"""Registers and looks up schemas in a Confluent-compatible registry (TopicRecordName subjects).

The HTTP client is Confluent's own. It brings credentials (`https://user:password@host`), the CA
bundle named by `SSL_CERT_FILE`, timeouts, a cache of schemas by id, and retries of lost connections
and of statuses 408, 429 and 5xx. It takes 20 MB: import this module only where a registry is
configured. API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from sagakit.errors import ConfigurationError, RegistryUnavailable
from sagakit.flow.routing import topic
from sagakit.urls import redacted

T = TypeVar("T")
COMPATIBILITY = "FULL_TRANSITIVE"
CLIENT = {
    "timeout": 10.0,  # of one request, in seconds
    # Waits are drawn from 0 up to 0.2, 0.4, ... 5 s: half a minute on average.
    "max.retries": 15,
    "retries.wait.ms": 200,
    "retries.max.wait.ms": 5000,
}
ANSWER_S = 60.0
"""How long an answer may take, with the client's retries: its timeout restarts with each byte."""
CONFLICT = 409
"""Another process is changing the same subject, or the schema is refused."""
SCHEMA_REFUSED = (CONFLICT, 422)
NOT_FOUND = 404
NO_SUCH_ID = (400, NOT_FOUND, 422)
"""The registry does not have the id; 400 and 422: no registry could have it."""
LOGIN_REFUSED = (401, 403)
NO_JSON = -1
"""The client's error code for an answer that is no JSON object."""
NO_REGISTRY = (301, 302, 303, 307, 308, 405)
"""Another server answers, or a redirect, for example from http to https."""


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, SchemaRegistryError) and error.http_status_code == CONFLICT


class ConfluentRegistry:
    """Implements `codec.Registry`. Keeps connections open until `close`.

    `owner`: the participant whose process this is. Everybody registers a schema that is not there
    yet, but only the owner of the events restores a compatibility level that was changed.
    """

    def __init__(self, url: str, owner: str | None = None) -> None:
        self._client = SchemaRegistryClient({"url": url, **CLIENT})
        self._url = url
        self._own = None if owner is None else f"{topic(owner)}-"

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """See `codec.Registry`.

        Raises ConfigurationError if the registry refuses the schema or the login, or the URL is
        that of something else.
        """
        try:
            return _in_time(lambda: self._register(subject, Schema(json.dumps(schema), "AVRO")))
        except Exception as error:
            if _status(error) in SCHEMA_REFUSED:
                raise ConfigurationError(
                    f"the schema registry refuses {subject}: {str(error)[:500]}; "
                    "give new fields a default, never remove or retype one"
                ) from error
            problem = self._unavailable(error)
            if getattr(error, "http_status_code", None) in LOGIN_REFUSED + NO_REGISTRY:
                raise ConfigurationError(str(problem)) from error
            raise problem from error

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
            return _checked_id(self._client.register_schema(subject, schema))
        if self._own is not None and subject.startswith(self._own):
            self._restore_compatibility(subject)
        return found

    def _find(self, subject: str, schema: Schema) -> int | None:
        """Return the id of a schema under its subject, None if it is not there."""
        try:
            return _checked_id(self._client.lookup_schema(subject, schema).schema_id)
        except SchemaRegistryError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise

    def _restore_compatibility(self, subject: str) -> None:
        """Set the level of a subject if it has another one, or none of its own."""
        level = None
        try:
            level = self._client.get_compatibility(subject)
        except SchemaRegistryError as error:
            if _status(error) != NOT_FOUND:
                raise
        if level != COMPATIBILITY:
            self._client.set_compatibility(subject, COMPATIBILITY)

    def lookup(self, schema_id: int) -> Mapping[str, Any]:
        """See `codec.Registry`.

        Raises KeyError only if the registry itself says that it has no such schema, or a text that
        is none of Avro. Any other answer is RegistryUnavailable: no record is parked for that.
        """
        try:
            text = _checked_text(_in_time(lambda: self._client.get_schema(schema_id)))
        except Exception as error:
            if _status(error) in NO_SUCH_ID:
                raise KeyError(f"schema id {schema_id}") from error
            # it keeps also what is no schema
            self._client.clear_caches()  # type: ignore[no-untyped-call]
            raise self._unavailable(error) from error
        try:
            schema: dict[str, Any] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise KeyError(f"schema id {schema_id} is no Avro schema") from error
        return schema

    def _unavailable(self, error: Exception) -> RegistryUnavailable:
        """Return the error for an answer that the registry does not give, with the remedy."""
        remedy = "it is asked again; if this lasts, check SAGA_SCHEMA_REGISTRY_URL"
        status = getattr(error, "http_status_code", None)
        if status in LOGIN_REFUSED:
            remedy = "put a user that may register schemas, and the password, into "
            remedy += "SAGA_SCHEMA_REGISTRY_URL, as in https://user:password@host"
        elif status in NO_REGISTRY:
            remedy = "set SAGA_SCHEMA_REGISTRY_URL to the registry's own address"
        reason = str(error) or f"no whole answer within {ANSWER_S:g} s"
        text = f"the schema registry {self._url}: {type(error).__name__}: {reason}"
        return RegistryUnavailable(f"{redacted(text)[:500]}; {remedy}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _in_time(ask: Callable[[], T]) -> T:
    """Return what a call of the client returns. Raises TimeoutError without a text after ANSWER_S.

    The call gets a thread of its own, which is left behind then.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            answer.set_exception(error)

    Thread(target=run, name="schema registry", daemon=True).start()
    return answer.result(ANSWER_S)


def _status(error: Exception) -> int | None:
    """Return the status of the registry's own answer; None for another server's, such as HTML."""
    if isinstance(error, SchemaRegistryError) and error.error_code != NO_JSON:
        return error.http_status_code
    return None


def _checked_id(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**32:
        raise ValueError(f"its answer has the schema id {number!r}, not a number of 32 bits")
    return number


def _checked_text(schema: Schema) -> str:
    if not isinstance(schema.schema_str, str):
        raise ValueError(f"its answer has the schema {schema.schema_str!r}, not a text")
    return schema.schema_str
