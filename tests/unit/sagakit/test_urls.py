"""No text shows the password of a URL: not an error, not a line of the log."""

import asyncio
import logging

import pytest
import structlog

from saga_cli.client import Unreachable, ask
from saga_monitor.reconciliation.sources import BookReader, SourceUnavailable
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.store.postgres import engine_for
from sagakit.telemetry import logs
from sagakit.urls import redacted
from shop.reconciliation import RULES

NOWHERE = "http://me:s3cret@127.0.0.1:9"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:s3cret@host:80/path", "http://***@host:80/path"),
        ("postgresql://me:p@s3cret@host/d", "postgresql://***@host/d"),
        ("http://s3cret@host and http://other", "http://***@host and http://other"),
        ("at 'http://me:s3/cret@host'", "at 'http://***@host'"),
        ("postgresql://host/d?password=s3cret&x=y", "postgresql://host/d?password=***&x=y"),
        ("http://host/path?mail=a", "http://host/path?mail=a"),
        ("mail to someone@example", "mail to someone@example"),
    ],
)
def test_the_user_and_password_of_a_url_are_hidden(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_a_line_of_the_log_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    handlers, former = logging.getLogger().handlers, structlog.get_config()
    try:
        logs.configure(json=True, participant="shop")
        structlog.get_logger("x").warning("no answer", url=NOWHERE)
        logging.getLogger("library").error("cannot reach %s", NOWHERE)
    finally:
        logging.getLogger().handlers = handlers
        structlog.configure(**former)
    lines = capsys.readouterr().err
    assert lines.count("http://***@127.0.0.1:9") == 2
    assert "s3cret" not in lines


def test_errors_about_an_address_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = "sealed:1:" + "a" * 32 + ":" + "A" * 40
    monkeypatch.setenv("SAGA_MONITOR_URL", NOWHERE)

    async def open_text() -> None:
        client = KeyServiceClient(NOWHERE)
        try:
            await client.open(sealed)
        finally:
            await client.close()

    for error, act in (
        (EffectFailed, lambda: asyncio.run(open_text())),
        (SourceUnavailable, lambda: BookReader({"payment": NOWHERE}).read(RULES)),
        (Unreachable, lambda: ask("GET", "/sagas", None)),
        (ValueError, lambda: engine_for("mysql://me:s3cret@host/d")),
    ):
        with pytest.raises(error) as raised:
            act()
        assert "s3cret" not in str(raised.value)
