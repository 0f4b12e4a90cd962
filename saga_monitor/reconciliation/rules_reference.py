"""Import the reconciliation rules that SAGA_RECONCILIATION names."""

import importlib

from saga_monitor.reconciliation.rules import Rules
from sagakit.errors import ConfigurationError, ContractError, FlowError


def load_rules(reference: str) -> Rules | None:
    """Return the rules that `module:ATTRIBUTE` names; None for an empty reference.

    Raises ConfigurationError, and what a module raises that loads a contract itself: ContractError
    and FlowError.
    """
    if not reference:
        return None
    module, _, attribute = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ContractError, FlowError):
        raise
    except Exception as error:
        raise ConfigurationError(
            f"SAGA_RECONCILIATION: {reference!r} cannot be imported "
            f"({type(error).__name__}: {error}); name an importable module:ATTRIBUTE"
        ) from error
    if not isinstance(found, Rules):
        raise ConfigurationError(
            f"SAGA_RECONCILIATION: {reference!r} is no Rules; make it an instance of a subclass of "
            "saga_monitor.reconciliation.rules.Rules"
        )
    return found
