"""Places orders, and does to them what customers and reviewers do."""

from dataclasses import replace
from datetime import timedelta

from saga_lab.simulation.ports import WorldPort
from sagakit.contract.platform import SagaPaused, VerdictGiven
from sagakit.decider import Command
from schemas.events import OrderPlaced
from services.order.decide import CANCEL, PLACE, CancelOrder, PlaceOrder
from shop.simulation.story import OrderStory


def begin(world: WorldPort, story: OrderStory) -> None:
    """Place the order of a story and schedule what people do to it."""
    placed = OrderPlaced(order_id=story.order_id, order=story.facts, placed_at=world.now)
    named = story.entrance != "nameless"

    def publish(event: OrderPlaced | VerdictGiven) -> None:
        world.publish(event, story.saga, story.flow, named=named)

    for n in range(2 if story.twice else 1):
        if story.entrance == "order_api":
            data = PlaceOrder(story.order_id, story.facts, world.now)
            place = Command(PLACE, "customer", "", data)
            world.submit_command("order", story.saga, place, story.flow)
        else:
            world.after(timedelta(seconds=n), lambda: publish(placed))
    if story.conflict:
        other = replace(story.facts, customer_id="somebody else")
        conflicting = OrderPlaced(order_id=story.order_id, order=other, placed_at=world.now)
        world.after(timedelta(seconds=5), lambda: publish(conflicting))
    if story.cancel_after is not None:
        cancel = Command(CANCEL, "customer", "changed my mind", CancelOrder(story.order_id))
        world.after(story.cancel_after, lambda: world.submit_command("order", story.saga, cancel))
    if story.verdict is not None:
        given = VerdictGiven(
            saga_id=story.order_id,
            step="payment",
            verdict=story.verdict,
            actor="reviewer",
            reason="looked at it",
        )
        world.after(story.verdict_after, lambda: publish(given))
    if story.paused is not None:
        paused = SagaPaused(saga_id=story.order_id, actor="ada", reason="a question")
        world.after(story.paused[0], lambda: world.publish(paused, story.saga, story.flow))
        through = sum(story.paused, timedelta())
        world.after(through, lambda: world.operator.resume(story.saga))
