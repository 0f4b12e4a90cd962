"""Callers of the order API who have logged in: each has keys and batch ids of its own."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sagakit.testing import NOW
from sagakit.web.app import make_app
from sagakit.web.identity.authenticator import Authenticator, TokenLogin
from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import StoredToken, TokenFile, edited_tokens, new_token, token_hash
from services.order.api import own_key, routes
from services.order.batch import batch_routes
from tests.in_memory_app import ask
from tests.memory_key_service import MemoryVault
from tests.unit.services.order_app import BODY, MemoryKeys, MemoryOrders


class Callers:
    """The order API, and callers with a token each, who may place orders."""

    def __init__(self, file: Path) -> None:
        self.orders, keys, vault = MemoryOrders(), MemoryKeys(), MemoryVault()
        self._tokens: dict[str, str] = {}
        with edited_tokens(file) as tokens:
            for name in ("web", "app"):
                made = self._tokens[name] = new_token()
                until = NOW + timedelta(days=1)
                may = frozenset({Scope.PLACE})
                tokens.append(StoredToken(name, token_hash(made), may, until))
        router = batch_routes(keys, vault, lambda: NOW)(self.orders)
        router.include_router(routes(keys, vault, lambda: NOW)(self.orders))
        login = Authenticator([TokenLogin(TokenFile(file, lambda: NOW))])
        self._app = make_app("order", {}, router, authenticator=login)

    def post(self, name: str, path: str, body: Any, **headers: str) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {self._tokens[name]}", **headers}
        return ask(self._app, "POST", path, json=body, headers=sent)


@pytest.fixture
def callers(tmp_path: Path) -> Callers:
    return Callers(tmp_path / "tokens.jsonl")


def test_the_same_idempotency_key_of_two_callers_is_two_keys(callers: Callers) -> None:
    one, other = BODY | {"order_id": "o1"}, BODY | {"order_id": "o2"}
    key = {"Idempotency-Key": "k1"}
    assert callers.post("web", "/orders", one, **key).status_code == 201
    assert callers.post("app", "/orders", other, **key).status_code == 201
    reused = callers.post("web", "/orders", other, **key)
    assert (reused.status_code, reused.json()["code"]) == (409, "idempotency_key_reuse")


def test_the_same_batch_id_of_two_callers_is_two_batches(callers: Callers) -> None:
    one, other = ({"batch_id": "b1", "orders": [BODY | {"order_id": o}]} for o in ("o1", "o2"))
    assert callers.post("web", "/batches", one).status_code == 200
    assert callers.post("app", "/batches", other).status_code == 200
    assert callers.post("web", "/batches", other).status_code == 409


def test_who_cancels_is_who_has_logged_in(callers: Callers) -> None:
    callers.post("web", "/orders", BODY | {"order_id": "o1"})
    asked = {"actor": "customer c-42", "reason": "a mistake"}
    assert callers.post("app", "/orders/o1/cancel", asked).status_code == 202
    assert callers.orders.events[-1].actor == "app"


def test_no_two_callers_share_a_key_whatever_their_names_are() -> None:
    names = [None, "of", "web", "batch", "of web"]
    assert len({own_key(who, key) for who in names for key in ("k", "batch\nk")}) == 2 * len(names)
