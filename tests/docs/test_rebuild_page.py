"""The script of docs/runbooks/rebuild-a-database.md, run as it stands there."""

import os
import re
import subprocess
import sys
import textwrap
import uuid
from datetime import UTC, datetime
from pathlib import Path

from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Trace
from sagakit.store.postgres import engine_for
from schemas import CONTRACT
from schemas.events import FraudCleared
from services.fraud.service import participant
from tests.kafka import publish_until_taken
from tests.order_facts import TWO_TEAS
from tests.stack import TestInfra, fresh_database

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/runbooks/rebuild-a-database.md").read_text()


def test_the_script_names_the_row_that_the_live_database_lacks(
    infra: TestInfra, tmp_path: Path
) -> None:
    (block,) = re.findall(r"^ *```python\n(.*?)^ *```", PAGE, re.S | re.M)
    script = tmp_path / "rebuild_service.py"
    script.write_text(textwrap.dedent(block))
    live, fresh = fresh_database(infra), fresh_database(infra)
    engine = engine_for(live)
    participant().store.metadata.create_all(engine)
    engine.dispose()
    order_id = f"lost-{uuid.uuid4().hex[:8]}"
    cleared = FraudCleared(order_id=order_id, order=TWO_TEAS)
    now = datetime.now(UTC)
    envelope = Envelope(
        uuid.uuid4(), f"order/{order_id}", "fraud", 1, now, cleared, trace=Trace("order/3")
    )
    publisher = Publisher(infra.bootstrap_servers, "test-rebuild-page")
    row = Codec(CONTRACT).encode(envelope)
    publish_until_taken(lambda: publisher.publish([row]), "the event of fraud is on its topic")

    command = [sys.executable, str(script), "fraud", infra.bootstrap_servers, live, fresh]
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d+ events folded\nscreening\n", done.stdout)
    assert f"screening ('order/{order_id}',): live None, rebuilt" in done.stdout
