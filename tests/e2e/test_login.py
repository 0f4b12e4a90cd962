"""Who calls the processes of the whole stack: with a token, with one of other scopes, with none."""

from typing import Any

import httpx2

from shop.workload.orders import FLOW_LABELS
from tests.application import ORDER
from tests.e2e.test_late_capture import end, place
from tests.stack import PATIENCE_S, LiveStack, until
from tests.typed_command import run_saga


def send(
    stack: LiveStack, method: str, process: str, path: str, token: str, body: Any = None
) -> httpx2.Response:
    return httpx2.request(
        method,
        f"{stack.url(process)}{path}",
        json=body,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        trust_env=False,
        timeout=PATIENCE_S,
    )


def test_no_process_answers_without_a_token(whole: LiveStack) -> None:
    for process in (*ORDER.participants, "monitor"):
        assert send(whole, "GET", process, "/health/ready", "").status_code == 200
        assert send(whole, "GET", process, "/metrics", "").status_code == 401
        assert send(whole, "GET", process, "/metrics", whole.token).status_code == 200


def test_the_monitor_and_the_participants_are_let_in_by_their_tokens(whole: LiveStack) -> None:
    """The monitor asks what blocks an order, and shipping has the address opened."""
    order_id = place(whole, "tok_ok", FLOW_LABELS[0])
    until(lambda: "shipping" in openers(whole), f"shipping opens the address of {order_id}")
    answer = send(whole, "POST", "monitor", "/reconciliations", whole.token, {"settle_s": 0})
    assert answer.status_code == 200, answer.text
    end(whole, order_id)


def test_a_person_may_do_what_their_token_says_under_its_name_until_it_is_revoked(
    whole: LiveStack,
) -> None:
    # Given a token for ada, who may read and decide
    order_id = place(whole, "tok_ok", FLOW_LABELS[0])
    token = run_saga(whole.home, "token", "add", "ada", "--scopes", "read,decide").stdout.strip()
    until(
        lambda: send(whole, "GET", "monitor", "/summary", token).status_code == 200,
        "the monitor takes the token",
    )
    # When she opens and claims a case under another name
    body = {"saga": f"order/{order_id}", "actor": "eve", "reason": "a question"}
    for command in ("open", "claim"):
        until(
            lambda c=command: (  # type: ignore[misc]
                send(whole, "POST", "monitor", f"/interventions/{c}", token, body).status_code
                == 202
            ),
            f"the monitor takes {command}",
        )
    # Then it is hers
    until(lambda: claimed_by(whole, order_id) == "ada", "the case is claimed by ada")
    # And when she has resolved it, the order may end
    resolved = send(whole, "POST", "monitor", "/interventions/resolve", token, body)
    assert resolved.status_code == 202, resolved.text
    end(whole, order_id)
    # When she does what she may not do, then she is refused, and that is in the audit
    refused = send(whole, "POST", "order", "/erasures", token, {})
    assert refused.status_code == 403
    assert "ada has not the scope erase" in refused.json()["detail"]
    until(
        lambda: ("refused", "ada", ["POST /erasures"]) in audited(whole, "order", "/admin/audit"),
        "the refusal is in the audit of order",
    )
    assert send(whole, "POST", "monitor", "/reconciliations", token, {}).status_code == 403
    until(
        lambda: (
            ("refused", "ada", ["POST /reconciliations"]) in audited(whole, "monitor", "/audit")
        ),
        "the refusal is in the audit of the monitor",
    )
    # When her token is revoked, then nobody takes it
    assert run_saga(whole.home, "token", "revoke", "ada").returncode == 0
    for process in ("order", "monitor"):
        until(
            lambda p=process: send(whole, "GET", p, "/metrics", token).status_code == 401,  # type: ignore[misc]
            f"{process} takes the token no more",
        )


def audited(stack: LiveStack, process: str, path: str) -> list[tuple[str, str, list[str]]]:
    """Action, actor and subjects of the rows of an audit."""
    rows = send(stack, "GET", process, path, stack.token).raise_for_status().json()
    return [(row["action"], row["actor"], row["subjects"]) for row in rows]


def openers(stack: LiveStack) -> set[str]:
    """Who has opened sealed texts."""
    return {who for action, who, _ in audited(stack, "order", "/admin/audit") if action == "open"}


def claimed_by(stack: LiveStack, order_id: str) -> str | None:
    rows = send(stack, "GET", "monitor", "/interventions", stack.token).raise_for_status().json()
    found = [row["holder"] for row in rows if row["saga"] == f"order/{order_id}"]
    return found[0] if found else None
