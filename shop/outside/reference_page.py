"""Selects the rows of a ledger that have one reference, or all rows."""

from typing import Annotated

from fastapi import Query

from saga_lab.fakes.base import Ledger, Page, Row


class ReferencePage(Page):
    """Selects a part of a ledger; without `reference` it covers all rows."""

    reference: str | None = None

    def of(self, ledger: Ledger, table: str) -> tuple[list[Row], int]:
        """Return the page of a table, and the total number of rows."""
        return ledger.page(table, self, reference=self.reference)


ReferencePageAsked = Annotated[ReferencePage, Query()]
