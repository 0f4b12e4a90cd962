"""The shop's orders: the same from the same numbers, each true to its kind."""

from collections import Counter
from itertools import product

from saga_lab.workload import End, Entrance, mixed
from schemas.rules import minor_digits, problems
from shop.outside.carrier_machine import parse_tags
from shop.outside.provider_machine import INVALID, card_plan
from shop.workload import KINDS, Shop
from shop.workload.orders import FLOW_LABELS, PRICES_MINOR, SOLD_OUT_SKU, stock_for

ROUND = len(mixed(KINDS))
ALL = len(Entrance) * len(FLOW_LABELS) * ROUND
ORDERS = Shop("t").orders(ALL)


def test_the_same_numbers_give_the_same_orders() -> None:
    assert Shop("t").orders(ALL) == ORDERS
    assert [o.facts for o in ORDERS] != [o.facts for o in Shop("t", seed=1).orders(ALL)]
    assert len({order.order_id for order in ORDERS}) == len(ORDERS)


def test_a_round_holds_each_kind_as_often_as_its_share() -> None:
    found = Counter(order.kind.name for order in ORDERS[:ROUND])
    assert found == {kind.name: kind.share for kind in KINDS}


def test_so_many_rounds_bring_each_kind_through_both_entrances_on_every_flow() -> None:
    found = {(o.kind.name, o.entrance, o.flow) for o in ORDERS}
    assert found == set(product((k.name for k in KINDS), Entrance, FLOW_LABELS))


def test_only_kinds_that_are_to_be_refused_are_invalid() -> None:
    for order in ORDERS:
        wrong = problems(order.order_id, order.facts)
        assert bool(wrong) == order.kind.invalid, (order.kind.name, wrong)


def test_an_invalid_order_is_refused_at_the_order_api_and_cancelled_behind_it() -> None:
    ends = {(o.entrance, o.end) for o in ORDERS if o.kind.invalid}
    assert ends == {(Entrance.HTTP, End.REFUSED), (Entrance.KAFKA, End.CANCELLED)}


def test_card_tokens_and_address_tags_are_known_outside() -> None:
    for order in ORDERS:
        assert card_plan(order.facts.card_token) != INVALID
        assert bool(parse_tags(order.facts.ship_to)) == bool(order.kind.tags)


def test_only_dear_baskets_are_above_what_a_person_has_to_see() -> None:
    for order in ORDERS:
        if not order.kind.invalid:
            digits = minor_digits(order.facts.currency)
            dear = order.facts.total_minor > 1000 * 10**digits
            assert dear == order.kind.name.startswith(("review_approved", "review_ignored"))
    assert len(PRICES_MINOR) == len({o.facts.currency for o in ORDERS if not o.kind.invalid})


def test_there_is_stock_for_all_that_can_be_had() -> None:
    stock = stock_for(ORDERS)
    assert SOLD_OUT_SKU not in stock
    for order in ORDERS:
        if not order.kind.invalid and order.kind.name != "out_of_stock":
            assert all(line.sku in stock for line in order.facts.lines)
