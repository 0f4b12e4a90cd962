"""A pooler in transaction mode is refused at the start with one sentence; session mode works."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sagakit.errors import ConfigurationError
from sagakit.store.pooler import refuse_transaction_pooler
from sagakit.store.postgres import engine_for
from tests.programs import program
from tests.stack import PATIENCE_S, TestInfra
from tests.transaction_pooler import TransactionPooler

SENTENCE = "SAGA_DATABASE_URL leads to a pooler in transaction mode"


@pytest.fixture
def pooler(database_url: str) -> Iterator[TransactionPooler]:
    """A pooler in transaction mode before an empty database."""
    with closing(TransactionPooler(database_url)) as pooler:
        yield pooler


def test_two_connections_that_share_a_session_are_refused(pooler: TransactionPooler) -> None:
    engine = engine_for(pooler.url)
    with pytest.raises(ConfigurationError, match=SENTENCE):
        refuse_transaction_pooler(engine)
    engine.dispose()


def test_the_server_itself_and_a_session_of_ones_own_are_taken(database_url: str) -> None:
    with closing(TransactionPooler(database_url, session_mode=True)) as pooler:
        for url in (database_url, pooler.url):
            engine = engine_for(url)
            refuse_transaction_pooler(engine)
            engine.dispose()


@pytest.mark.parametrize("module", ["services.fraud", "saga_monitor"])
def test_a_process_behind_such_a_pooler_ends_with_one_sentence(
    module: str, infra: TestInfra, pooler: TransactionPooler, tmp_path: Path
) -> None:
    log = tmp_path / "program.log"
    with program(module, infra, log, SAGA_DATABASE_URL=pooler.url) as started:
        assert started.process.wait(PATIENCE_S) == 2
    assert SENTENCE in log.read_text().splitlines()[-1]
