"""Declares the JSON that the order API answers, see `saga_cli.shapes`."""

from typing import NotRequired, TypedDict


class PlacedOrderJson(TypedDict):
    """Holds the status of an order at the order API."""

    status: str
    reason: NotRequired[str | None]


class StockRowJson(TypedDict):
    """Holds the units of a SKU on hand."""

    on_hand: int


class StockJson(TypedDict):
    """Holds the answer of `GET /stock`."""

    data: list[StockRowJson]


class ErasureJson(TypedDict):
    """Holds the answer of `POST /erasures`."""

    erased_at: str | None
    in_flight: list[str]
    in_clear: list[str]
