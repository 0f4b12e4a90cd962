"""Planted bugs: each breaks the core in one place, the way a tired person would, and the simulation
has to find it. A mutant that nothing catches tells what the simulation lacks.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import saga_lab.simulation.process
import saga_monitor.ingest.watermark
import saga_monitor.saga.deadlines
import sagakit.handling.handler
import services.payment.captures
import shop.simulation.simulation
from saga_lab.simulation.node import Node
from saga_lab.simulation.process import SimulatedProcess
from saga_lab.simulation.runner import run_seed
from sagakit.decider import Effect
from sagakit.errors import Undecodable, UnregisteredSchema
from sagakit.flow.routing import Router
from sagakit.handling.binding import BatchRouting
from sagakit.store.commit_queue import CommitQueue
from sagakit.store.loaded_states import LoadedStates
from sagakit.store.memory import _MemoryTransaction
from services.inventory.store import MemoryInventoryStore
from shop.simulation import SIMULATION
from tests.simulation import broken_deciders as deciders
from tests.simulation import broken_mechanism as broken
from tests.simulation.bug_contexts import Plant, around, deciding, instead


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: what a user would see; `within`: seeds, from 0, of which one must break."""

    name: str
    breaks: str
    within: int
    plants: tuple[Plant, ...]

    def caught(self, first: int = 0) -> int | None:
        """The number of seeds, from `first`, it took; None where all of them hold."""
        with ExitStack() as stack:
            for plant in self.plants:
                stack.enter_context(plant())
            for n in range(self.within):
                if run_seed(SIMULATION, first + n).violations:
                    return n + 1
        return None


def _m(name: str, breaks: str, within: int, *plants: Plant) -> Mutant:
    return Mutant(name, breaks, within, plants)


HANDLER: Any = sagakit.handling.handler
CAPTURES: Any = services.payment.captures
PLAYED: Any = shop.simulation.simulation
PROCESS: Any = saga_lab.simulation.process
TX = _MemoryTransaction
MUTANTS = (
    _m(
        "registry's 503 taken for a property of the record",
        "an order waits for a person who has nothing to do",
        60,
        around(PROCESS, "decode_message", broken.unanswered_is_poison),
    ),
    _m(
        "schema that is registered late never asked for again",
        "an order waits for a person who has nothing to do",
        60,
        instead(UnregisteredSchema, "code", Undecodable.code),
    ),
    _m(
        "fence forgotten",
        "a cancelled order is charged, reserved or shipped",
        150,
        deciding("payment inventory shipping", deciders.no_fence),
    ),
    _m(
        "inbox not checked",
        "what is delivered twice is done twice",
        10,
        instead(HANDLER, "is_repeat", broken.no_inbox),
    ),
    _m(
        "inbox outside the transaction",
        "events are lost in a crash",
        40,
        around(TX, "write", broken.inbox_first),
    ),
    _m(
        "effect removed before its outcome is stored",
        "outcomes are lost in a crash",
        20,
        around(TX, "finish", broken.finish_first),
    ),
    _m(
        "offsets stored before the commit",
        "events are lost in a crash",
        30,
        instead(SimulatedProcess, "handle", broken.offsets_first),
    ),
    _m(
        "idempotency key without the saga",
        "one order's charge answers another's",
        20,
        instead(Effect, "key_of", broken.without_saga),
    ),
    _m(
        "charge key with the attempt in it",
        "a lost answer charges twice",
        10,
        around(Node, "ask", broken.charge_attempt),
    ),
    _m(
        "relay with id > cursor",
        "events are never published",
        60,
        instead(Node, "unpublished", broken.beyond_cursor),
        around(Node, "remove", broken.move_cursor),
    ),
    _m(
        "relay deletes before publishing",
        "events are lost in a crash",
        20,
        instead(Node, "relay", broken.delete_first),
    ),
    _m(
        "relay does not sort",
        "events of an order are out of order",
        10,
        around(Node, "next_rows", broken.newest_first),
    ),
    _m(
        "hand-over out of order",
        "events of an order are out of order",
        20,
        around(CommitQueue, "take", broken.newest_commit_first),
    ),
    _m(
        "older rows of another process not looked for",
        "events of an order are out of order",
        60,
        around(CommitQueue, "announce", broken.trust_everybody),
    ),
    _m(
        "stale cache written",
        "what another process did is undone in silence, and done again",
        60,
        instead(TX, "has_moved", broken.never_moved),
    ),
    _m(
        "state kept that was never loaded",
        "a saga is decided on as if nothing had happened",
        60,
        instead(LoadedStates, "loaded", broken.loaded_or_not),
    ),
    _m(
        "offsets of records that ride along stored before the commit",
        "events are lost in a crash",
        60,
        around(SimulatedProcess, "take", broken.ride_first),
    ),
    _m(
        "deadline gate removed",
        "a slow monitor undoes healthy orders",
        30,
        instead(saga_monitor.ingest.watermark, "_reached", lambda *args: True),
    ),
    _m(
        "undone believed before the refund",
        "the refund is told before it is made",
        20,
        deciding("payment", deciders.believed),
    ),
    _m(
        "undo does not wait for the charge in flight",
        "undone is told while money is being taken",
        150,
        deciding("payment", deciders.void_believed),
    ),
    _m(
        "a refund refused for good is ignored",
        "the undo of a disputed charge never ends",
        60,
        deciding("payment", deciders.refusal_ignored),
    ),
    _m(
        "a refund refused for good is believed made",
        "money is told as given back that the provider keeps",
        60,
        deciding("payment", deciders.refusal_believed),
    ),
    _m(
        "late capture ignored",
        "money of a cancelled order is kept",
        60,
        deciding("payment", deciders.late_ignored),
    ),
    _m(
        "capture counted twice",
        "a repeated report is refunded",
        10,
        deciding("payment", deciders.counted_twice),
    ),
    _m(
        "pickup after cancel ignored",
        "a parcel is gone and nobody knows",
        30,
        deciding("shipping", deciders.pickup_ignored),
    ),
    _m(
        "label after the undo not cancelled",
        "a cancelled order is shipped",
        150,
        deciding("shipping", deciders.label_forgotten),
    ),
    _m(
        "undone past the pivot",
        "shipped goods are put on the shelf",
        200,
        deciding("inventory", deciders.undone_past_pivot),
    ),
    _m(
        "reserved beyond what is on hand",
        "stock is negative",
        20,
        deciding("inventory", deciders.not_on_hand),
    ),
    _m(
        "stock read without a lock",
        "stock does not add up",
        200,
        around(Node, "run_concurrently", broken.reading_before),
        instead(MemoryInventoryStore, "load", broken.no_stock_lock),
    ),
    _m(
        "stale lease outcome accepted",
        "an outcome counts twice",
        60,
        around(TX, "finish", broken.any_lease),
    ),
    _m(
        "failed-unknown taken as declined",
        "money of a declined order is kept",
        60,
        around(Node, "ask", deciders.unknown_is_no),
    ),
    _m(
        "pending refund not asked about again",
        "an order is completed and its money goes back",
        100,
        around(Node, "ask", broken.pending_is_over),
    ),
    _m(
        "parked record dropped",
        "events are lost",
        80,
        instead(HANDLER._Batch, "_park", broken.drop_parked),
    ),
    _m(
        "events of an unknown version dropped",
        "orders on a new version are lost where it comes late",
        60,
        around(HANDLER._Batch, "_park", broken.unknown_dropped),
    ),
    _m(
        "unknown version taken for the default",
        "an order is carried out by the rules of two versions",
        60,
        around(Router, "label", broken.unknown_is_default),
    ),
    _m(
        "orders go over to the newest version",
        "an order in flight changes its version with the release",
        60,
        around(Router, "label", broken.newest_known),
    ),
    _m(
        "sequence gap ignored",
        "events are passed over",
        150,
        instead(HANDLER, "check_sequence", broken.no_gap),
    ),
    _m(
        "a filled gap sets nothing free",
        "orders stand still",
        100,
        instead(HANDLER, "sagas_with_filled_gap", broken.never_filled),
    ),
    _m(
        "a resumed order sets nothing free",
        "what was held in a pause stays there",
        60,
        instead(HANDLER, "sagas_to_release", broken.never_freed),
    ),
    _m(
        "a capture of any amount pays the order",
        "an order of which one cent was captured is shipped",
        40,
        instead(CAPTURES, "_fits", deciders.any_amount_fits),
    ),
    _m(
        "a refund that fails afterwards is not heard of",
        "a cancelled order's money stays with the shop",
        150,
        deciding("payment", deciders.failed_refund_ignored),
    ),
    _m(
        "the first of several parcels completes the order",
        "an order counts as shipped while a parcel waits",
        40,
        deciding("shipping", deciders.first_parcel_is_all),
    ),
    _m(
        "a dispute is taken before the capture of its charge",
        "the books hold money that the customer's bank took back",
        60,
        instead(PLAYED, "too_early", deciders.overtakes),
    ),
    _m(
        "a lost dispute is not booked",
        "the books hold money that the customer's bank took back",
        60,
        deciding("payment", deciders.loss_ignored),
    ),
    _m(
        "a start event binds behind one that could not be read",
        "participants carry out two different orders under one number",
        60,
        instead(HANDLER, "_awaits_start", broken.any_queue_awaits_start),
    ),
    _m(
        "the last start event says what a saga is",
        "a second order under a number that is taken is carried out",
        60,
        around(BatchRouting, "_start", broken.last_start_counts),
    ),
    _m(
        "event ids random",
        "a replay invents events",
        10,
        instead(HANDLER, "derive_id", broken.random_id),
    ),
    _m(
        "undo not answered again",
        "an undo that is asked for again after a failed refund never ends",
        40,
        deciding("payment inventory shipping", deciders.no_repeat),
    ),
    _m(
        "parked records handled newest first",
        "participants carry out two different orders under one number",
        40,
        around(TX, "parked", broken.queue_reversed),
    ),
)
