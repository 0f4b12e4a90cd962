"""The tables in the code are the tables that the migrations make, on a real PostgreSQL."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from sagakit.store.schema import KIT
from schemas.asyncapi import participants
from tests.architecture.source import ROOT

TABLES = {
    **{name: (f"services.{name}.store", ROOT / "services" / name) for name in participants()},
    "monitor": ("saga_monitor.storage.tables", ROOT / "saga_monitor/storage"),
}


@pytest.mark.parametrize("name", TABLES)
def test_code_and_migrations_agree(name: str, database_url: str) -> None:
    module, folder = TABLES[name]
    assert differences(database_url, folder / "migrations", _declared(module)) == []


def test_the_comparison_sees_a_missing_column(database_url: str) -> None:
    module, folder = TABLES["payment"]
    declared = _declared(module)
    table = declared.tables["inbox"]
    table._columns.remove(table.c.gap)
    found = differences(database_url, folder / "migrations", declared)
    assert [(d[0], d[2], d[3].name) for d in found] == [("remove_column", "inbox", "gap")]


def differences(url: str, scripts: Path, declared: MetaData) -> list[Any]:
    """What a new migration would have to change after all there are have run."""
    engine = engine_for(url)
    try:
        migrate(engine, scripts)
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return list(compare_metadata(context, declared))
    finally:
        engine.dispose()


def _declared(module: str) -> MetaData:
    together = MetaData()
    for metadata in (KIT, importlib.import_module(module).metadata):
        for table in metadata.sorted_tables:
            table.to_metadata(together)
    return together
