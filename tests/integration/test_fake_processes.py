"""How the fakes start, stop and survive kill -9, as every process of the outside world does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.outside_processes import GIVES_UP, Receiver, Server, charge, status_of
from tests.stack import PATIENCE_S, until


def test_kill_9_loses_no_callback(tmp_path: Path) -> None:
    receiver = Receiver()
    server = Server("shop.outside.provider", tmp_path / "provider.db", receiver.url)
    try:
        receiver.refuse_next = 10**9
        charge(server, "owed", "tok_async:0")
        charge(server, "pending", "tok_async:0.5")
        charge(server, "far", "tok_async:3600")
        for _ in range(2):
            charge(server, "fails", "tok_500:3")
        until(lambda: status_of(server, "owed") == "captured", "a webhook is owed")
        before = server.http.get("/v1/charges").json()
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert receiver.events == []
        receiver.refuse_next = 0
        server.start()
        until(lambda: receiver.of("owed") and receiver.of("pending"), "both webhooks")
        assert charge(server, "fails", "tok_500:3").status_code == 500
        assert charge(server, "fails", "tok_500:3").json()["status"] == "captured"
        after = {row["id"] for row in server.http.get("/v1/charges").json()["data"]}
        assert {row["id"] for row in before["data"]} < after
        server.post("/control/flush", {})
        until(lambda: receiver.types("far") == ["charge.captured"], "the far one")
        assert server.stop() == 0
        assert receiver.forged == []
    finally:
        server.close()
        receiver.close()


def test_sigterm_does_not_wait_for_a_slow_answer(tmp_path: Path, receiver: Receiver) -> None:
    server = Server("shop.outside.provider", tmp_path / "provider.db", receiver.url)
    body = {"reference": "o", "amount_minor": 5, "currency": "EUR", "card_token": "tok_slow:600"}
    with pytest.raises(httpx2.ReadTimeout):
        server.http.post(
            "/v1/charges", json=body, headers={"Idempotency-Key": "o"}, timeout=GIVES_UP
        )
    assert server.stop() == 0
    server.close()


def test_missing_settings_are_named() -> None:
    command = [sys.executable, "-m", "shop.outside.provider"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode != 0
    assert "SANDBOX_WEBHOOK_URL" in ended.stderr
    assert "Traceback" not in ended.stderr
