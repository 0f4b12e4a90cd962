"""List the commands that a person may give on a saga now, and why not the others. Pure.

Each is tried by the decision that would take it, so a page cannot offer what is then refused, nor
give another reason.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from saga_monitor.saga.commands import (
    INTERVENTION_COMMANDS,
    PIN_COMMANDS,
    CancelCommand,
    CommandRefused,
    InterventionCommand,
    PauseCommand,
    PinCommand,
    SagaCommand,
    VerdictCommand,
    cancel_saga,
    give_verdict,
    pause_saga,
    resume_saga,
)
from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import Saga
from saga_monitor.saga.interventions import Intervention
from saga_monitor.saga.view import SagaView

Decide = Callable[[Any, Saga, SagaView], Emission]
_SOMEBODY = {"actor": "somebody", "reason": "a trial"}


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A command by its name: the body it takes, the decision, and the words of `saga`."""

    name: str
    title: str
    about: str
    body: type[SagaCommand]
    decide: Decide
    words: str
    fixed: Mapping[str, str] = field(default_factory=dict)

    def filled(self, saga: str, fields: Mapping[str, str]) -> SagaCommand:
        """Return the command with its fields. Raises pydantic.ValidationError."""
        return self.body.model_validate({"saga": saga, **fields, **self.fixed})


@dataclass(frozen=True, slots=True)
class OfferedCommand:
    """A command on a saga. fields: that it needs; refused: why it cannot be given now."""

    kind: CommandKind
    fields: Mapping[str, str] = field(default_factory=dict)
    refused: str | None = None

    @property
    def name(self) -> str:
        """Return a name that is unique among the commands of a saga."""
        return "-".join((self.kind.name, *self.fields.values()))


_UNDO = "Its steps are undone, the newest first. Possible until its pivot is done."
_PAUSE = "No new work starts until it is resumed. It can still be cancelled."
COMMANDS = {
    kind.name: kind
    for kind in (
        CommandKind(
            "approve",
            "Approve",
            "The step goes on.",
            VerdictCommand,
            give_verdict,
            "approve",
            {"verdict": "approve"},
        ),
        CommandKind(
            "reject",
            "Reject",
            "The step fails, and what was done is undone.",
            VerdictCommand,
            give_verdict,
            "reject",
            {"verdict": "reject"},
        ),
        CommandKind("cancel", "Cancel", _UNDO, CancelCommand, cancel_saga, "cancel"),
        CommandKind("pause", "Pause", _PAUSE, PauseCommand, pause_saga, "pause"),
        CommandKind(
            "resume", "Resume", "New work starts again.", PauseCommand, resume_saga, "resume"
        ),
        CommandKind(
            "pin", "Pin", "It stays out of the history.", PinCommand, PIN_COMMANDS["pin"], "pin"
        ),
        CommandKind(
            "unpin",
            "Unpin",
            "It may be moved to the history.",
            PinCommand,
            PIN_COMMANDS["unpin"],
            "unpin",
        ),
        *(
            CommandKind(
                f"{name}_intervention",
                title,
                about,
                InterventionCommand,
                INTERVENTION_COMMANDS[name],
                words,
            )
            for name, title, about, words in (
                ("open", "Open a case", "A person has to look at it.", "interventions open"),
                ("claim", "Claim", "Others see that you work on it.", "interventions claim"),
                ("note", "Add a note", "It is kept in the log.", "interventions note"),
                ("resolve", "Resolve", "Nothing is left to do.", "resolve"),
                ("reopen", "Reopen", "Something is left to do.", "interventions reopen"),
            )
        ),
    )
}
"""Commands on a saga, by name."""
_OF_SAGA = ("cancel", "pause", "resume", "pin", "unpin", "open_intervention")
_OF_INTERVENTION = (
    "claim_intervention",
    "note_intervention",
    "resolve_intervention",
    "reopen_intervention",
)


def offered_commands(saga: Saga, view: SagaView) -> list[OfferedCommand]:
    """Return the verdicts that a saga waits for, then its other commands."""
    verdicts = [
        _tried(COMMANDS[name], saga, view, {"step": item.step})
        for item in view.awaited
        if item.approval
        for name in ("approve", "reject")
    ]
    return verdicts + [_tried(COMMANDS[name], saga, view, {}) for name in _OF_SAGA]


def offered_on(intervention: Intervention, saga: Saga, view: SagaView) -> Iterator[OfferedCommand]:
    """Yield the commands on one intervention of a saga that can be given now."""
    for name in _OF_INTERVENTION:
        fields = {"code": intervention.code}
        if name == "claim_intervention" and intervention.holder:
            fields["taken_from"] = intervention.holder
        if not (offered := _tried(COMMANDS[name], saga, view, fields)).refused:
            yield offered


def _tried(
    kind: CommandKind, saga: Saga, view: SagaView, fields: Mapping[str, str]
) -> OfferedCommand:
    try:
        kind.decide(kind.filled(saga.key, {**_SOMEBODY, **fields}), saga, view)
    except CommandRefused as refused:
        return OfferedCommand(kind, fields, refused.detail)
    return OfferedCommand(kind, fields)
