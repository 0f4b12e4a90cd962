"""Defines what a manifest declares. Plain values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from sagakit.web.identity.scopes import Scope

MONITOR = "monitor"
"""Name of the monitor's process, which is not declared."""


@dataclass(frozen=True)
class ParticipantSpec:
    """Declares a participant's process.

    `module`: what `python -m sagakit MODULE` runs; `env`: settings beyond those of every service,
    with placeholders, see `Application`; `replicas`: False if it runs as one process only;
    `scopes`: what it may do at the other processes, with the token of its SAGA_TOKEN.
    """

    name: str
    module: str
    env: Mapping[str, str] = field(default_factory=dict)
    replicas: bool = True
    scopes: frozenset[Scope] = frozenset()


@dataclass(frozen=True)
class OutsideSpec:
    """Declares a fake of a service outside, which serves HTTP.

    `module`: what `python -m MODULE` runs; `env` as of a participant; `ports`: names of further
    ports on which it listens, such as `smtp`.
    """

    name: str
    module: str
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandSpec:
    """Declares a command that the application adds to `saga`.

    `call`: a reference `module:attribute` to a click command; `help`: its first sentence.
    """

    name: str
    call: str
    help: str


@dataclass(frozen=True)
class Application:
    """Describes an application, as its manifest declares it.

    `folder`: where the manifest is; modules are imported from there. `contract`: packages with its
    events and flows. The other texts are references `module:attribute`, None where the manifest
    names none: `workload` (what `saga demo` places), `simulation`, `invariants` (its own ones),
    `chaos` (its own faults), `reconciliation` (the rules by which the monitor compares books).

    A value of an `env` may contain `{NAME.url}`, `{NAME.host}`, `{NAME.port}` and `{NAME.secret}`,
    where NAME is a participant, a fake, one of a fake's ports, or `monitor`. A secret is drawn when
    the stack first starts, and is the same for everybody who names it.
    """

    name: str
    folder: Path
    contract: tuple[str, ...]
    participants: Mapping[str, ParticipantSpec]
    outside: Mapping[str, OutsideSpec] = field(default_factory=dict)
    workload: str | None = None
    simulation: str | None = None
    invariants: str | None = None
    chaos: str | None = None
    reconciliation: str | None = None
    commands: Mapping[str, CommandSpec] = field(default_factory=dict)

    @property
    def databases(self) -> tuple[str, ...]:
        """The names of the databases: those of the participants, and the monitor's."""
        return (*self.participants, MONITOR)

    def calls(self) -> tuple[tuple[str, str], ...]:
        """Return (participant, fake) for every participant whose `env` has the fake's URL."""
        return tuple(
            (participant.name, name)
            for participant in self.participants.values()
            for name in self.outside
            if any((name, "url") in placeholders(text) for text in participant.env.values())
        )

    def secrets(self) -> tuple[str, ...]:
        """Return the names whose secret some `env` contains."""
        settings = [part.env for part in self.participants.values()]
        settings += [part.env for part in self.outside.values()]
        return tuple(
            dict.fromkeys(
                name
                for env in settings
                for text in env.values()
                for name, attribute in placeholders(text)
                if attribute == "secret"
            )
        )


def fill(text: str, value: Callable[[str, str], str]) -> str:
    """Return the text with each placeholder replaced by `value(name, attribute)`."""
    return "".join(
        literal if found is None else literal + value(*found) for literal, found in _parts(text)
    )


def placeholders(text: str) -> tuple[tuple[str, str], ...]:
    """Return (name, attribute) of each placeholder: `{partner.url}` is ("partner", "url").

    Raises ValueError if a brace is not closed, or a placeholder has not this form.
    """
    return tuple(found for _, found in _parts(text) if found is not None)


def _parts(text: str) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Yield pieces of literal text, each with the placeholder that follows it, if any."""
    try:
        parsed = tuple(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{error}; write {{NAME.url}}, and {{{{ or }}}} for a brace") from error
    for literal, name, format_spec, conversion in parsed:
        if name is None:
            yield literal, None
            continue
        part, dot, attribute = name.partition(".")
        if not (part and dot and attribute) or format_spec or conversion:
            raise ValueError(f"{{{name}}} is no placeholder; write {{NAME.url}}")
        yield literal, (part, attribute)
