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
from uuid import UUID

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from tenacity import (
    RetryError,
    Retrying,
    retry,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from sagakit.errors import ConfigurationError, RegistryUnavailable
from sagakit.flow.routing import topic
from sagakit.messages.framing import SchemaId
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
CONFLICT_S = 40.0
"""How long a subject's level is set again while others change the subject."""
CONFLICT = 409
"""Another process is changing the same subject, or the schema is refused."""
SCHEMA_REFUSED = (CONFLICT, 422)
NOT_FOUND = 404
NO_SUCH_ID = (400, NOT_FOUND, 422)
"""The registry does not have the id; 400 and 422: no registry could have it."""
MOST_REFERENCES = 100
LOGIN_REFUSED = (401, 403)
NO_JSON = -1
"""The client's error code for an answer that is no JSON object."""
NO_REGISTRY = (301, 302, 303, 307, 308, 405)
"""Another server answers, or a redirect, for example from http to https."""


class LevelConflict(RetryError):
    """The level of a subject cannot be set, since others keep changing the subject."""

    def __str__(self) -> str:
        return f"it answers 409 to each attempt to set the level {COMPATIBILITY}"


class TooManyReferences(ValueError):
    """A schema refers to more others than are looked up."""


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
        """See `registry_port.Registry`.

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
            self._require_level(subject)
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

    def current_id(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        """See `registry_port.Registry`. Raises RegistryUnavailable."""
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        try:
            return _in_time(lambda: self._find(subject, Schema(json.dumps(schema), "AVRO")))
        except Exception as error:
            raise self._unavailable(error) from error

    def _restore_compatibility(self, subject: str) -> None:
        """Set the level of a subject if it has another one, or none of its own."""
        if self._level(subject) != COMPATIBILITY:
            self._require_level(subject)

    def _level(self, subject: str) -> str | None:
        """Return the level of a subject, None if it has none of its own."""
        try:
            return self._client.get_compatibility(subject)
        except SchemaRegistryError as error:
            if _status(error) == NOT_FOUND:
                return None
            raise

    def _require_level(self, subject: str) -> None:
        """Set the level of a subject. A conflict is no refusal: others are setting it, too."""
        for attempt in Retrying(
            retry=retry_if_exception(_is_conflict),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            stop=stop_after_delay(CONFLICT_S),
            retry_error_cls=LevelConflict,
        ):
            with attempt:
                self._set_level(subject)

    def _set_level(self, subject: str) -> None:
        try:
            self._client.set_compatibility(subject, COMPATIBILITY)
        except SchemaRegistryError as error:
            if not _is_conflict(error) or self._level(subject) != COMPATIBILITY:
                raise

    def lookup(self, schema_id: SchemaId) -> list[Any]:
        """See `registry_port.Registry`.

        Raises KeyError only if the registry itself says that it has no such schema, or one that it
        refers to. Any other answer is RegistryUnavailable: no record is parked for that. But of
        GUIDs many registries know nothing, so there any refusal is a KeyError.
        """
        try:
            texts = _in_time(lambda: self._texts(schema_id))
        except TooManyReferences:
            raise
        except Exception as error:
            refused = isinstance(schema_id, UUID) and _is_refusal(error)
            if refused or _status(error) in NO_SUCH_ID:
                raise KeyError(f"schema id {schema_id}") from error
            # it keeps also what is no schema
            self._client.clear_caches()  # type: ignore[no-untyped-call]
            raise self._unavailable(error) from error
        try:
            return [json.loads(text) for text in texts]
        except (ValueError, RecursionError) as error:
            raise ValueError(f"schema id {schema_id} is no Avro schema") from error

    def _texts(self, schema_id: SchemaId) -> list[str]:
        """Return the text of a schema, after those of all schemas that it refers to."""
        if isinstance(schema_id, UUID):
            schema = self._client.get_schema_by_guid(str(schema_id))
        else:
            schema = self._client.get_schema(schema_id)
        found: dict[tuple[str, int], str] = {}
        self._add_referred(schema, found)
        return [*found.values(), _checked_text(schema)]

    def _add_referred(self, schema: Schema, found: dict[tuple[str, int], str]) -> None:
        for one in schema.references or ():
            if one.subject is None or one.version is None:
                raise ValueError(f"its answer has a reference to {one}, without a subject")
            place = (one.subject, one.version)
            if place in found:
                continue
            if len(found) >= MOST_REFERENCES:
                raise TooManyReferences(f"it refers to more than {MOST_REFERENCES} schemas")
            found[place] = ""  # a circle ends here
            referred = self._client.get_version(*place, deleted=True).schema
            self._add_referred(referred, found)
            del found[place]  # behind what it refers to itself
            found[place] = _checked_text(referred)

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


def _is_refusal(error: Exception) -> bool:
    """Tell whether a server says no to a request, also one that knows no such route."""
    status = getattr(error, "http_status_code", 0)
    return 400 <= status < 500 and status not in (*LOGIN_REFUSED, 408, 429)


def _checked_id(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**32:
        raise ValueError(f"its answer has the schema id {number!r}, not a number of 32 bits")
    return number


def _checked_text(schema: Schema) -> str:
    if not isinstance(schema.schema_str, str):
        raise ValueError(f"its answer has the schema {schema.schema_str!r}, not a text")
    return schema.schema_str
