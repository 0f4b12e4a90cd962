"""Selects the rows of a ledger that are about one order, or those of all orders."""

from typing import Annotated

from fastapi import Query

from saga_lab.fakes.base import Ledger, Page, Row


class OrderPage(Page):
    """Selects a part of a ledger; without `order_id` it covers all orders."""

    order_id: str | None = None

    def of(self, ledger: Ledger, table: str) -> tuple[list[Row], int]:
        """Return the page of a table, and the total number of rows."""
        return ledger.page(table, self, order_id=self.order_id)


OrderPageAsked = Annotated[OrderPage, Query()]
