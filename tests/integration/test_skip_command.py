"""`saga skip` notes a record in every database, with a saga under which its case is opened."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from saga_cli.lab.skip import skip
from saga_lab.devstack.stack_file import write_manifest
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from sagakit.store.skipped_records import skips_in
from tests.stack import TestInfra, fresh_database

SAGAS = text("SELECT saga, reason FROM skipped_record")


def test_a_record_is_skipped_in_every_database_and_names_its_case(
    infra: TestInfra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a stack of two databases
    urls = {"payment": fresh_database(infra), "monitor": fresh_database(infra)}
    engines = [engine_for(url) for url in urls.values()]
    for engine in engines:
        migrate(engine)
    write_manifest(tmp_path, {"databases": urls})
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    # When two records are skipped, one of them twice, one of a saga that is known
    runner = CliRunner()
    reason = ("--reason", "kills every reader")
    done = [
        runner.invoke(skip, ["order.events", "3", "17", *reason]),
        runner.invoke(skip, ["order.events", "3", "17", "--reason", "again"]),
        runner.invoke(skip, ["order.events", "0", "4", "--saga", "order/my-1", *reason]),
    ]
    refused = runner.invoke(skip, ["order.events", "0", "4", "--saga", "my-1", *reason])
    # Then each database has both, with the saga of the case
    assert [result.exit_code for result in done] == [0, 0, 0], done
    assert "the case is an intervention of order/my-1" in done[2].output
    assert refused.exit_code == 2
    for engine in engines:
        places = skips_in(engine)()
        assert places.keys() == {("order.events", 3, 17), ("order.events", 0, 4)}
        assert all("kills every reader" in why for why in places.values())
        with engine.connect() as connection:
            sagas = {row.saga for row in connection.execute(SAGAS)}
        assert sagas == {"order/skipped-order.events-3-17", "order/my-1"}
        engine.dispose()
