"""Pictures of flows and sagas, as numbers and texts."""

from typing import Any

from saga_monitor.saga.flow_plan import Plan
from saga_monitor.web.flow_drawing import DrawingLabels, Mark, draw_flow, saga_labels
from saga_monitor.web.text import duration
from saga_monitor.web.timeline_drawing import MAX_EVENTS, draw_timeline
from tests.histories import FLOW, after


def event(number: int, source: str, at_s: float, cause: int | None = None) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "type": f"Event{number}",
        "source": source,
        "at": after(at_s),
        "causation": None if cause is None else f"e{cause}",
        "caused_by": None if cause is None else f"Event{cause}",
    }


def test_parallel_steps_stand_below_each_other_and_places_side_by_side() -> None:
    # When the version with fraud beside inventory is drawn
    drawing = draw_flow(Plan.of(FLOW, 3), DrawingLabels())
    # Then both have one column, and no two boxes lie on each other
    place = {box.name: (box.x, box.y) for box in drawing.boxes}
    assert place["inventory"][0] == place["fraud"][0]
    assert place["inventory"][1] != place["fraud"][1]
    assert place["payment"][0] > place["fraud"][0]
    assert len(set(place.values())) == len(place)
    # And everything lies within the picture
    assert all(
        box.x + box.width <= drawing.width and box.y + box.height <= drawing.height
        for box in drawing.boxes
    )
    # And the line behind which nothing is undone stands behind shipping
    assert drawing.pivot_x is not None
    assert place["shipping"][0] < drawing.pivot_x < place["notification"][0]


def test_an_awaited_step_is_a_ghost_and_a_line_is_done_behind_a_done_step() -> None:
    # Given a saga whose second step is awaited and late
    body = {
        "steps": [
            {"name": "inventory", "status": "done"},
            {"name": "payment", "status": "due"},
            {"name": "shipping", "status": "idle"},
        ],
        "awaited": [{"step": "payment", "events": ["PaymentCaptured", "PaymentDeclined"]}],
    }
    # When it is drawn
    drawing = draw_flow(Plan.of(FLOW, 1), saga_labels(body, overdue=True))
    boxes = {box.name: box for box in drawing.boxes}
    # Then that step is a ghost that is overdue, and the others are not
    assert [name for name, box in boxes.items() if box.ghost] == ["payment"]
    assert boxes["payment"].overdue
    assert boxes["payment"].lines == ["due", "PaymentCaptured or PaymentDeclined"]
    assert [edge.done for edge in drawing.edges] == [True, False, False]


def test_a_bar_reaches_from_the_cause_to_the_event() -> None:
    # Given three events, of which the second took half of the time
    events = [event(1, "order", 0), event(2, "payment", 5, 1), event(3, "shipping", 10, 2)]
    # When they are drawn
    chart = draw_timeline(events, [], after(99), ended=True, text_of=duration)
    # Then each participant has a lane, and the bars meet in the middle
    assert chart.lanes == ["order", "payment", "shipping"]
    first, second = chart.bars
    assert (first.lane, second.lane) == (1, 2)
    assert first.x + first.width == second.x
    assert first.width == second.width
    assert first.text == "Event2, 5 s after Event1"


def test_what_is_awaited_is_a_bar_to_the_present_and_late_behind_its_deadline() -> None:
    events = [event(1, "order", 0)]
    item = {"step": "payment", "events": ["Event2"], "since": after(0), "due": after(4)}
    for now, kind in ((3, "awaited"), (5, "overdue")):
        chart = draw_timeline(events, [item], after(now), ended=False, text_of=duration)
        (bar,) = chart.bars
        assert (bar.kind, chart.lanes[bar.lane]) == (kind, "payment")


def test_of_a_long_history_the_newest_events_are_drawn() -> None:
    events = [event(n, "order", n) for n in range(MAX_EVENTS + 3)]
    chart = draw_timeline(events, [], after(0), ended=True, text_of=duration)
    assert (len(chart.dots), chart.hidden) == (MAX_EVENTS, 3)
    assert chart.dots[0].number == 3


def test_events_of_one_moment_and_no_event_are_drawn_too() -> None:
    assert draw_timeline([], [], after(0), ended=True, text_of=duration).dots == ()
    one = draw_timeline([event(1, "order", 0)], [], after(0), ended=True, text_of=duration)
    assert one.dots[0].x >= 0


def test_a_mark_may_say_more_of_a_step() -> None:
    labels = DrawingLabels({"payment": Mark(lines=["7 in flight"])}, {"payment": "p95 2 s"})
    drawing = draw_flow(Plan.of(FLOW, 1), labels)
    assert next(b for b in drawing.boxes if b.name == "payment").lines == ["7 in flight"]
    assert [edge.label for edge in drawing.edges] == ["p95 2 s", "", ""]
