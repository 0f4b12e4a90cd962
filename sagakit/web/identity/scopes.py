"""Defines what a caller may do, and who a caller is. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Names a right of a caller. Each route needs one of them."""

    PLACE = "place"
    READ = "read"
    DECIDE = "decide"
    OPERATE = "operate"
    VAULT = "vault"
    ERASE = "erase"
    ADMIN = "admin"
    ACT_AS = "act-as"


ABOUT = {
    Scope.PLACE: "start sagas, follow them and cancel them, on behalf of anybody",
    Scope.READ: "read everything but sealed texts: sagas, ledgers, books, parked records, metrics",
    Scope.DECIDE: "decide about sagas: verdicts, cancellations, pauses, pins, interventions",
    Scope.OPERATE: "repair: redrive and discard records, publish refused events, reconcile",
    Scope.VAULT: "open sealed texts",
    Scope.ERASE: "erase a person's data",
    Scope.ADMIN: "everything but acting under another name",
    Scope.ACT_AS: "act under the name that a request gives",
}
"""Scope -> the actions that it allows."""
EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Is a caller who has logged in. subject: the name under which they act."""

    subject: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has a right; `admin` has all but `act-as`."""
        if scope in self.scopes:
            return True
        return Scope.ADMIN in self.scopes and scope is not Scope.ACT_AS


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names. Raises ValueError that names a wrong one."""
    found = set()
    for name in names:
        try:
            found.add(Scope(name))
        except ValueError:
            raise ValueError(f"{name[:40]!r} is no scope; use {', '.join(Scope)}") from None
    return frozenset(found)


def known_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes among these names; a log-in service has scopes of others, too."""
    wanted = set(names)
    return frozenset(scope for scope in Scope if scope.value in wanted)
