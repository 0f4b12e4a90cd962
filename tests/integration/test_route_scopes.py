"""Every route of every process: who may call it, and what others are told."""

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from saga_monitor.service import Monitor, MonitorSettings
from sagakit.service.process import ServiceProcess
from sagakit.telemetry import metrics
from sagakit.web.app import NoLoops
from sagakit.web.identity.requires import DESCRIBED, RouteAccess, route_accesses
from sagakit.web.identity.scopes import Scope
from sagakit.web.identity.tokens import StoredToken, edited_tokens, new_token, token_hash
from services.fraud import service as fraud
from services.inventory import service as inventory
from services.loyalty import service as loyalty
from services.notification import service as notification
from services.order import service as order
from services.payment import service as payment
from services.shipping import service as shipping
from tests.in_memory_app import ask

SERVICES: Mapping[str, Any] = {
    "order": order,
    "inventory": inventory,
    "payment": payment,
    "shipping": shipping,
    "notification": notification,
    "fraud": fraud,
    "loyalty": loyalty,
}
SECRET = "a secret of the provider and the carrier"
PARTICIPANT = {
    "GET /metrics": "read",
    "GET /admin/parked": "read",
    "POST /admin/parked/{key:path}/redrive": "operate",
    "DELETE /admin/parked/{number}": "operate",
    "GET /admin/audit": "read",
    "GET /admin/effects": "read",
    "GET /admin/outbox": "read",
    "GET /admin/cases": "read",
    "POST /admin/blockers": "read",
    "GET /admin/refused": "read",
    "POST /admin/refused/{number}/publish": "operate",
    "GET /admin/books": "read",
    "GET /admin/books/{name}": "read",
    "GET /admin/ledgers/{name}": "read",
}
"""The routes of every participant, with the scope that each needs."""
OWN = {
    "order": {
        "POST /orders": "place",
        "POST /batches": "place",
        "GET /orders/{order_id:path}": "place",
        "GET /orders/{order_id:path}/wait": "place",
        "POST /orders/{order_id:path}/cancel": "place",
        "POST /sealed": "place",
        "POST /sealed/open": "vault",
        "POST /erasures": "erase",
    },
    "inventory": {"POST /stock": "operate", "GET /stock": "read"},
    "loyalty": {"GET /cards/{card}": "read"},
    "monitor": {
        "GET /metrics": "read",
        "GET /sagas": "read",
        "GET /search": "read",
        "GET /candidates": "read",
        "GET /sagas/{flow}/{saga_id:path}": "read",
        "GET /evidence/{flow}/{saga_id:path}": "read",
        "GET /batches/{batch_id:path}": "read",
        "GET /links/{flow}/{saga_id:path}": "read",
        "GET /interventions": "read",
        "POST /interventions/{command}": "decide",
        "POST /verdicts": "decide",
        "POST /cancellations": "decide",
        "POST /pauses": "decide",
        "POST /resumptions": "decide",
        "POST /pins/{command}": "decide",
        "GET /summary": "read",
        "GET /blocked": "read",
        "GET /unreadable": "read",
        "GET /audit": "read",
        "GET /flows": "read",
        "GET /flows/retirement": "read",
        "POST /backtests": "read",
        "POST /reconciliations": "operate",
        "GET /ui/overview": "read",
        "GET /ui/sagas": "read",
        "GET /ui/causes": "read",
        "GET /ui/completions": "read",
        "GET /ui/sagas.{kind}": "read",
        "GET /ui/saga": "read",
        "POST /ui/commands/{command}": "decide",
        "GET /ui/interventions": "read",
        "GET /ui/unreadable": "read",
        "GET /ui/flows": "read",
        "GET /ui/services": "read",
        "GET /ui/audit": "read",
        "GET /ui/live": "read",
        "GET /ui/you": "read",
        "POST /ui/login-links": "read",
        "POST /ui/logout": "read",
        "POST /ui/sessions/{number}/end": "read",
    },
}
OPEN = {f"GET/HEAD {DESCRIBED}", "GET /health/live", "GET /health/ready"}
SIGNED = {"payment": "POST /webhooks/provider", "shipping": "POST /webhooks/carrier"}
PAGES = {"GET /", "GET /ui", "GET /ui/static/{name}", "GET /ui/login", "POST /ui/login"}
"""The routes that everybody may call."""
HERE = {"Host": "localhost"}
APPS = (*SERVICES, "monitor")


def expected(name: str) -> dict[str, str]:
    return {**({} if name == "monitor" else PARTICIPANT), **OWN.get(name, {})}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens") / "tokens.jsonl"


@pytest.fixture(scope="module")
def without(tokens: Path) -> dict[str, str]:
    """Scope -> a token that has every scope but this one; of `admin` only those it gives."""
    made = {}
    with edited_tokens(tokens) as kept:
        for scope in Scope:
            made[str(scope)] = new_token()
            others = frozenset(Scope) - {scope, Scope.ADMIN}
            until = datetime.now(UTC) + timedelta(hours=1)
            kept.append(StoredToken("ada", token_hash(made[str(scope)]), others, until))
    return made


@pytest.fixture(scope="module")
def apps(tokens: Path, without: dict[str, str]) -> Iterator[Mapping[str, FastAPI]]:
    """The apps as their processes build them. No request gets as far as their databases."""
    settings: dict[str, Any] = {
        "bootstrap_servers": "127.0.0.1:9",
        "database_url": "postgresql://nobody@127.0.0.1:9/none",
        "contract": "schemas",
        "http_auth": "tokens",
        "http_tokens_file": tokens,
    }
    own: dict[str, Any] = {
        "provider_url": "http://127.0.0.1:9",
        "carrier_url": "http://127.0.0.1:9",
        "smtp_host": "127.0.0.1",
        "smtp_port": 9,
        "webhook_secret": SECRET,
        "key_encryption_key": SECRET,
    }
    made, processes = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "register", lambda collector: None)
        patch.setattr(logging.getLogger("librdkafka"), "disabled", True)
        for name, module in SERVICES.items():
            found = module.PROGRAM.settings(**settings, **own)
            processes.append(ServiceProcess(module.build(found), found))
            processes[-1].bus.close()
            made[name] = processes[-1].app(NoLoops())
        made["monitor"] = Monitor(MonitorSettings(**settings)).app(NoLoops())
        yield made
        for process in processes:
            process.engine.dispose()


def name_of(route: RouteAccess) -> str:
    return f"{'/'.join(route.methods)} {route.path}"


@pytest.mark.parametrize("name", APPS)
def test_each_route_needs_the_scope_of_the_table_or_is_on_the_short_list(
    apps: Mapping[str, FastAPI], name: str
) -> None:
    routes = list(route_accesses(apps[name]))
    open_ = {name_of(route) for route in routes if route.open_because}
    more = PAGES if name == "monitor" else set()
    assert open_ == OPEN | more | ({SIGNED[name]} if name in SIGNED else set())
    assert {name_of(r): ",".join(r.scopes) for r in routes if r.scopes} == expected(name)


@pytest.mark.parametrize("name", APPS)
def test_nobody_without_the_scope_gets_in(
    apps: Mapping[str, FastAPI], without: Mapping[str, str], name: str
) -> None:
    for route, scope in expected(name).items():
        method, path = route.split()
        path = re.sub(r"\{[^}]*\}", "1", path)
        # Given no token, and one that has every other scope
        nobody = ask(apps[name], method, path, headers=HERE)
        headers = {**HERE, "Authorization": f"Bearer {without[scope]}"}
        other = ask(apps[name], method, path, headers=headers)
        # Then both are refused, before anything of the request is judged
        assert nobody.status_code == 401, f"{route}: {nobody.text}"
        assert nobody.headers["WWW-Authenticate"].startswith("Bearer ")
        assert other.status_code == 403, f"{route}: {other.text}"
        assert f'scope="{scope}"' in other.headers["WWW-Authenticate"]
        for answer in (nobody, other):
            assert answer.headers["Content-Type"] == "application/problem+json"
        assert f"ada has not the scope {scope}" in other.json()["detail"]


@pytest.mark.parametrize("name", APPS)
def test_each_app_says_which_scope_a_route_needs(apps: Mapping[str, FastAPI], name: str) -> None:
    described = apps[name].openapi()
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    found = {
        f"{method.upper()} {path}": operation["security"][0]["bearer"]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if "security" in operation
    }
    plain = {
        route.replace(":path", ""): [scope]
        for route, scope in expected(name).items()
        if "/ui/" not in route  # pages are for people
    }
    assert found == plain


@pytest.mark.parametrize("name", SIGNED)
def test_a_webhook_needs_its_signature_and_no_token(apps: Mapping[str, FastAPI], name: str) -> None:
    answer = ask(apps[name], "POST", SIGNED[name].split()[1], json={}, headers=HERE)
    assert answer.status_code == 401
    assert "Saga-Signature is missing" in answer.json()["detail"]
