"""The kit holds the mechanism of a choreographed saga and knows nothing of an application.

What `__all__` names is its public API: `from sagakit import Participant, Do, Undo, ...`. A name is
imported when it is first used, so that a module of decisions loads neither Kafka's client nor
SQLAlchemy.

Pure: `identity`, `decider`, `flow`, `contract`. One transaction per micro-batch: `handling`.
Stores: `store.ports` (what the handler needs), `store.postgres` and `store.memory` (both pass one
conformance suite). Transport and outside calls: `messages`, `kafka`, `outbox`, `effects`, `web`.
Composition: `service`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagakit.bounded_http import HttpClient
    from sagakit.contract.loader import load_contract
    from sagakit.contract.model import Contract, saga_id_of
    from sagakit.decider import (
        NOTHING,
        Callback,
        Command,
        Decide,
        Decision,
        Do,
        Effect,
        EffectResult,
        Event,
        Evolve,
        Observed,
        Trigger,
        Undo,
        fold,
    )
    from sagakit.effects.http_gateway import (
        HttpGateway,
        asks_first,
        is_identifier,
        wire_key,
    )
    from sagakit.effects.worker import Perform
    from sagakit.errors import (
        BadKey,
        ConfigurationError,
        ContractError,
        EffectFailed,
        EffectKeyClash,
        EventTooLarge,
        FlowError,
        ForeignEvent,
        RequestTimedOut,
        ResultPending,
        SagaError,
        UnknownFlow,
        UnprocessableRecord,
    )
    from sagakit.identity import saga_key, split_key
    from sagakit.service.definition import Receipt, Service, TriggerPort
    from sagakit.service.program import Program, service_program
    from sagakit.service.settings import ServiceSettings, WebhookSettings
    from sagakit.store.ports import Clock, Participant, Store, Working
    from sagakit.store.state_table import TableStore
    from sagakit.web.identity.requires import open_to_all, requires
    from sagakit.web.identity.scopes import Scope
    from sagakit.web.ledger_pages import Ledger
    from sagakit.web.login import LoggedIn, actor_of
    from sagakit.web.signed_webhook import (
        ReadReport,
        minor_of,
        saga_of,
        signed_webhook,
        text_of,
    )

__all__ = [  # noqa: RUF022 -- under headings
    # Participant
    "Participant",
    "Decide",
    "Evolve",
    "Store",
    "Working",
    "TableStore",
    "Clock",
    # Contract
    "Contract",
    "load_contract",
    # Identity
    "saga_key",
    "split_key",
    # Triggers and decision
    "Trigger",
    "Do",
    "Undo",
    "Observed",
    "EffectResult",
    "Callback",
    "Command",
    "Event",
    "saga_id_of",
    "Decision",
    "NOTHING",
    "fold",
    # Effects
    "Effect",
    "Perform",
    "HttpClient",
    "HttpGateway",
    "asks_first",
    "is_identifier",
    "wire_key",
    # Routes
    "Scope",
    "requires",
    "open_to_all",
    "LoggedIn",
    "actor_of",
    # Webhooks
    "WebhookSettings",
    "signed_webhook",
    "ReadReport",
    "saga_of",
    "minor_of",
    "text_of",
    # Errors
    "SagaError",
    "ConfigurationError",
    "ContractError",
    "FlowError",
    "UnprocessableRecord",
    "BadKey",
    "UnknownFlow",
    "RequestTimedOut",
    "EventTooLarge",
    "ForeignEvent",
    "EffectKeyClash",
    "EffectFailed",
    "ResultPending",
    # Service
    "Service",
    "TriggerPort",
    "Receipt",
    "ServiceSettings",
    "Ledger",
    # Main
    "Program",
    "service_program",
]

_NAMES = {
    "sagakit.contract.loader": "load_contract",
    "sagakit.contract.model": "Contract saga_id_of",
    "sagakit.decider": (
        "Decide Evolve Trigger Do Undo Observed EffectResult Callback Command Event "
        "Decision NOTHING fold Effect"
    ),
    "sagakit.bounded_http": "HttpClient",
    "sagakit.effects.http_gateway": "HttpGateway asks_first is_identifier wire_key",
    "sagakit.effects.worker": "Perform",
    "sagakit.errors": (
        "SagaError ConfigurationError ContractError FlowError UnprocessableRecord BadKey "
        "UnknownFlow RequestTimedOut EventTooLarge ForeignEvent EffectKeyClash EffectFailed "
        "ResultPending"
    ),
    "sagakit.identity": "saga_key split_key",
    "sagakit.service.definition": "Service TriggerPort Receipt",
    "sagakit.service.program": "Program service_program",
    "sagakit.service.settings": "ServiceSettings WebhookSettings",
    "sagakit.store.ports": "Participant Store Working Clock",
    "sagakit.store.state_table": "TableStore",
    "sagakit.web.identity.requires": "open_to_all requires",
    "sagakit.web.identity.scopes": "Scope",
    "sagakit.web.ledger_pages": "Ledger",
    "sagakit.web.login": "LoggedIn actor_of",
    "sagakit.web.signed_webhook": "ReadReport minor_of saga_of signed_webhook text_of",
}
"""Module -> its names in `__all__`."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562). Raises AttributeError."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sagakit' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
