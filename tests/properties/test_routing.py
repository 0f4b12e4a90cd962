"""Of any flow and any order of arrival: forward each step is told once, back all are told, newest
first, and it comes to an end. Played by model participants over the real loader and router."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from sagakit.decider import Do, Observed, Undo
from sagakit.flow.loader import load
from sagakit.flow.model import PIVOT, RETRIABLE, Flow, Flows, Step
from sagakit.flow.routing import Router

SAGA = {"Placed": "shop", "CancelAsked": "saga"}
HEAD = """
name = "any"
start = "Placed"
cancel = "CancelAsked"
default_version = 1
observes = { shop = ["completed", "undone"] }
"""


def build(before: list[int], pivot: bool, after: list[int]) -> Flow:
    """A flow whose places hold this many compensatable and retriable steps."""
    sizes = [("compensatable", n) for n in before] + [("pivot", 1)] * pivot
    sizes += [("retriable", n) for n in after]
    places: list[list[str]] = []
    steps, owners = "", dict(SAGA)
    for kind, size in sizes:
        places.append([])
        for _ in range(size):
            name = f"s{sum(map(len, places))}"
            places[-1].append(name)
            events = {"done": f"{name}-done"}
            if kind != "retriable":
                events["undone"] = f"{name}-undone"
            steps += f'[steps.{name}]\nkind = "{kind}"\ndeadline = "1m"\n'
            steps += "".join(f'{mark} = "{event}"\n' for mark, event in events.items())
            if kind != "retriable":
                steps += f'failed = ["{name}-failed"]\n'
                owners[f"{name}-failed"] = name
            owners |= dict.fromkeys(events.values(), name)
    return load(f"{HEAD}\n[versions]\n1 = {places}\n{steps}".replace("'", '"'), owners)


sizes = st.lists(st.integers(1, 3), min_size=1, max_size=3)
flows = st.builds(build, sizes, st.booleans(), sizes)
pivoted = st.builds(build, sizes, st.just(True), sizes)


@dataclass(frozen=True)
class Fact:
    """An event of which only the type matters."""

    type: str
    void_when: str | None = None


@dataclass
class Play:
    """Model participants: total, fenced by an undo, and answering each undo again."""

    flow: Flow
    rng: random.Random
    fails: str = ""
    triggers: list[tuple[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = self.flow.participants
        self.routers = {name: Router(Flows(self.flow), name) for name in names}
        self.marks = dict.fromkeys(names, frozenset[str]())
        self.done: set[str] = set()
        self.fenced: set[str] = set()

    def run(self, *first: str, most: int = 2000) -> "Play":
        """Until nothing is left to be told, events in any order."""
        self.pending += first
        for _ in range(most):
            if not self.pending:
                return self
            event = self.pending.pop(self.rng.randrange(len(self.pending)))
            self.log.append(event)
            for name, router in self.routers.items():
                routed = router.route("any/1", Fact(event), self.marks[name])
                self.marks[name] = routed.marks
                for trigger in routed.triggers:
                    self.answer(name, trigger)
        raise AssertionError(f"it does not end: {self.log[:50]}")

    def answer(self, name: str, trigger: object) -> None:
        match trigger:
            case Observed(moment):
                self.triggers.append((name, moment))
            case Do():
                self.triggers.append((name, "do"))
                if name == self.fails:
                    self.fenced.add(name)
                    self.pending.append(f"{name}-failed")
                elif name not in self.fenced:
                    self.done.add(name)
                    self.pending.append(f"{name}-done")
            case Undo():
                self.triggers.append((name, "undo"))
                if name in self.done and self.flow.steps[name].kind == PIVOT:
                    return
                self.fenced.add(name)
                self.pending.append(f"{name}-undone")

    def counts(self, what: str) -> Counter[str]:
        return Counter(name for name, moment in self.triggers if moment == what)

    def first(self, name: str, what: str) -> int:
        return self.triggers.index((name, what))


def names(places: Iterable[tuple[Step, ...]]) -> set[str]:
    return {step.name for place in places for step in place}


@settings(deadline=None)
@given(flows, st.randoms(use_true_random=False))
def test_forward_each_step_is_triggered_once_and_in_turn(flow: Flow, rng: random.Random) -> None:
    play = Play(flow, rng).run("Placed")
    places = list(flow.places(1))
    assert play.counts("do") == Counter(names(places)), "each step is told to do once"
    assert play.counts("undo") == Counter()
    assert play.counts("completed") == Counter(["shop"])
    for before, place in itertools.pairwise(places):
        assert max(play.first(s.name, "do") for s in before) < min(
            play.first(s.name, "do") for s in place
        )


@settings(deadline=None)
@given(flows, st.randoms(use_true_random=False), st.data())
def test_a_failure_is_undone_back_to_the_first_step_newest_first(
    flow: Flow, rng: random.Random, data: st.DataObject
) -> None:
    able = [s.name for place in flow.places(1) for s in place if s.kind != RETRIABLE]
    fails = data.draw(st.sampled_from(sorted(able)))
    play = Play(flow, rng, fails).run("Placed")
    places = list(flow.places(1))
    at = next(i for i, place in enumerate(places) if fails in names([place]))
    to_undo = names(places[:at]) | names([places[at]]) - {fails}
    assert set(play.counts("undo")) >= to_undo
    assert set(play.counts("do")) == names(places[: at + 1]), "nobody behind it is told to do"
    assert play.counts("undone")["shop"] >= 1
    assert play.counts("completed")["shop"] == 0
    undone_at = {n: play.first(n, "undo") for n in to_undo}
    for i in range(at - 1):
        newer, older = names([places[i + 1]]), names([places[i]])
        assert max(undone_at[n] for n in newer) < min(undone_at[n] for n in older)


@settings(deadline=None)
@given(pivoted, st.randoms(use_true_random=False), st.integers(1, 3))
def test_compensation_whenever_it_comes_ends_in_one_end(
    flow: Flow, rng: random.Random, times: int
) -> None:
    """Asked for at any moment, and more than once: all the way back, or forward to the end."""
    play = Play(flow, rng).run("Placed", *["CompensationRequested"] * times)
    able = {s.name for place in flow.places(1) for s in place if s.kind != RETRIABLE}
    pivot = next(s.name for s in flow.steps.values() if s.kind == PIVOT)
    if pivot in play.done:
        assert play.done == set(flow.steps)
        assert play.fenced == set(), "past the pivot nothing is undone"
        assert play.counts("completed")["shop"] == 1
        assert play.counts("undone")["shop"] == 0
    else:
        assert play.fenced == able, "everyone has undone or left a fence"
        assert play.counts("completed")["shop"] == 0
        assert play.counts("undone")["shop"] >= 1
        assert play.counts("undo")[pivot] == times, "walked as often as it was asked for"


@settings(deadline=None)
@given(flows, st.randoms(use_true_random=False))
def test_a_broken_chain_can_be_walked_a_second_time(flow: Flow, rng: random.Random) -> None:
    play = Play(flow, rng).run("CompensationRequested")
    able = {s.name for place in flow.places(1) for s in place if s.kind != RETRIABLE}
    assert set(play.counts("undo")) == able
    once = play.counts("undo")
    play.run("CompensationRequested")
    assert all(play.counts("undo")[name] > once[name] for name in able)


@settings(deadline=None)
@given(flows, st.randoms(use_true_random=False))
def test_who_is_triggered_by_what_does_not_depend_on_repeats(
    flow: Flow, rng: random.Random
) -> None:
    """Marks only grow: an event seen again never takes a trigger away."""
    play = Play(flow, rng).run("Placed")
    again = Play(flow, rng)
    again.run("Placed", "Placed")
    assert set(again.triggers) == set(play.triggers)
