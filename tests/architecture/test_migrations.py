"""The tables in the code are the tables that the migrations make, on a real PostgreSQL."""

import importlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from sagakit.store.migrate import KIT_CHAIN, Chain, migrate
from sagakit.store.postgres import engine_for
from sagakit.store.schema import KIT
from schemas import CONTRACT
from tests.architecture.source import ROOT

TABLES = {
    **{
        name: (f"services.{name}.store", ROOT / "services" / name) for name in CONTRACT.participants
    },
    "monitor": ("saga_monitor.storage.tables", ROOT / "saga_monitor/storage"),
}
CHAINS = [KIT_CHAIN.folder, *(folder / "migrations" for _, folder in TABLES.values())]


def test_the_kits_code_and_migrations_agree(database_url: str) -> None:
    assert differences(database_url, None, KIT) == []


@pytest.mark.parametrize("name", TABLES)
def test_code_and_migrations_agree(name: str, database_url: str) -> None:
    module, folder = TABLES[name]
    assert differences(database_url, folder / "migrations", _declared(module)) == []


@pytest.mark.parametrize("name", TABLES)
def test_an_application_declares_and_makes_only_its_own_tables(name: str) -> None:
    module, folder = TABLES[name]
    assert not importlib.import_module(module).metadata.tables.keys() & KIT.tables.keys()
    chain = "".join(path.read_text() for path in (folder / "migrations").glob("*.py"))
    assert not set(re.findall(r'"(\w+)"', chain)) & KIT.tables.keys()


@pytest.mark.parametrize("folder", CHAINS, ids=str)
def test_a_revision_has_the_number_of_its_file_and_follows_the_one_before(folder: Path) -> None:
    numbers = Chain(folder, "").numbers()
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    for number, before in zip(numbers, [None, *numbers], strict=False):
        (path,) = folder.glob(f"{number}_*.py")
        found = runpy.run_path(str(path))
        assert (found["revision"], found["down_revision"]) == (number, before)


def test_the_comparison_sees_a_missing_column(database_url: str) -> None:
    module, folder = TABLES["payment"]
    declared = _declared(module)
    table = declared.tables["inbox"]
    table._columns.remove(table.c.gap)
    found = differences(database_url, folder / "migrations", declared)
    assert [(d[0], d[2], d[3].name) for d in found] == [("remove_column", "inbox", "gap")]


def differences(url: str, own: Path | None, declared: MetaData) -> list[Any]:
    """What a new migration would have to change after all there are have run."""
    engine = engine_for(url)
    try:
        migrate(engine, own)
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "compare_type": True,
                    "compare_server_default": True,
                    "include_name": lambda name, kind, _: name != KIT_CHAIN.version_table,
                },
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
