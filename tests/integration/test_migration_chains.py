"""The two chains of migrations: replicas that start at once, databases of other code."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

import services.fraud
from sagakit.errors import ConfigurationError
from sagakit.store.migrate import KIT_CHAIN, migrate
from sagakit.store.postgres import engine_for
from sagakit.store.schema import KIT

OWN = Path(str(services.fraud.__file__)).parent / "migrations"
CHAINS = (KIT_CHAIN.version_table, "alembic_version")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


def revision(engine: Engine, version_table: str) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text(f"SELECT version_num FROM {version_table}")).scalar())


def set_revision(engine: Engine, version_table: str, number: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {version_table} SET version_num = '{number}'"))


def test_an_application_without_tables_has_those_of_the_kit(engine: Engine) -> None:
    migrate(engine)
    assert set(inspect(engine).get_table_names()) == {*KIT.tables, KIT_CHAIN.version_table}


def test_replicas_that_start_together_migrate_once(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as replicas:
        list(replicas.map(lambda _: migrate(engine, OWN), range(4)))
    assert [revision(engine, chain) for chain in CHAINS] == ["0001", "0001"]


@pytest.mark.parametrize("chain", CHAINS)
def test_an_old_replica_starts_on_a_database_that_newer_code_has_changed(
    engine: Engine, chain: str
) -> None:
    migrate(engine, OWN)
    set_revision(engine, chain, "9999")
    migrate(engine, OWN)
    assert revision(engine, chain) == "9999"


@pytest.mark.parametrize("chain", CHAINS)
def test_a_database_of_another_application_is_refused(engine: Engine, chain: str) -> None:
    migrate(engine, OWN)
    set_revision(engine, chain, "0000")
    with pytest.raises(ConfigurationError, match=f"'0000' of {chain}.*SAGA_DATABASE_URL"):
        migrate(engine, OWN)


def test_a_chain_without_revisions_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no revision; name one 0001_"):
        migrate(engine, tmp_path)


def test_revisions_are_found_in_a_folder_of_any_name(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "100% of a, b: c"
    folder.mkdir()
    (folder / "0001_first.py").write_text((OWN / "0001_first.py").read_text())
    migrate(engine, folder)
    assert revision(engine, "alembic_version") == "0001"
