"""Bad flow files, settings and command lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bad_input.case import Case

FLOW, SETTINGS, COMMAND = "flow file", "environment", "command line"
GOOD_FLOW = (Path(__file__).parents[2] / "schemas/flows/order.toml").read_text()
GOOD_ENV = {
    "SAGA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "SAGA_DATABASE_URL": "postgresql://saga@127.0.0.1:5432/payment",
    "SAGA_CONTRACT": "schemas",
    "SAGA_PROVIDER_URL": "http://127.0.0.1:18020",
    "SAGA_WEBHOOK_SECRET": "not to be shown to anybody at all",
}


class Ran(NamedTuple):
    """`saga` with words, an environment, and what its home's stack.json and saga.toml hold.

    With a manifest the home is the application's folder as well.
    """

    words: tuple[str | bytes, ...]
    env: Mapping[str, str] = {}
    stack: str | None = None
    manifest: str | None = None


def swap(old: str, new: str) -> str:
    """The order flow with a part of it changed."""
    assert old in GOOD_FLOW, old
    return GOOD_FLOW.replace(old, new, 1)


def env(**changes: str | None) -> dict[str, str]:
    """A good environment of payment's (and the monitor's), changed; None takes away."""
    found: dict[str, str | None] = {**GOOD_ENV, **{f"SAGA_{k}": v for k, v in changes.items()}}
    return {name: value for name, value in found.items() if value is not None}


def flow(name: str, content: str, *words: str) -> Case:
    return Case(name, FLOW, content, "FlowError", words)


def setting(name: str, given: Mapping[str, str], *words: str) -> Case:
    return Case(name, SETTINGS, given, "exit 2", words)


def command(name: str, given: Ran, gets: str, *words: str) -> Case:
    return Case(name, COMMAND, given, gets, words)


FIRST = '["inventory", "payment", "shipping", "notification"]'
FLOWS = (
    flow("no TOML", "name = = 1", "is not valid TOML", "line 1"),
    flow("empty", "", "the key 'name' is missing", "add it"),
    flow("100000 brackets", "a = " + "[" * 100_000, "is not valid TOML"),
    flow("number of 5000 digits", "a = " + "9" * 5000, "is not valid TOML"),
    flow("NUL", "name = 'a\0'", "is not valid TOML"),
    flow(
        "cycle",
        swap(FIRST, '["inventory", "payment", "inventory", "shipping"]'),
        "version 1",
        "step inventory is listed twice",
    ),
    flow(
        "step side by side with itself",
        swap(FIRST, '[["payment", "payment"], "shipping"]'),
        "version 1",
        "step payment is listed twice",
    ),
    flow(
        "unknown event",
        swap('done = "PaymentCaptured"', 'done = "PaymentTaken"'),
        "step payment",
        "PaymentTaken has no schema",
        "add PaymentTaken.avsc",
    ),
    flow("unknown step", swap(FIRST, '["packing"]'), "version 1", "add [steps.packing]"),
    flow(
        "duplicated step",
        GOOD_FLOW + '\n[steps.payment]\nkind = "pivot"\n',
        "is not valid TOML",
        "line",
    ),
    flow(
        "missing undo", swap('undone = "PaymentRefunded"\n', ""), "step payment", "needs `undone`"
    ),
    flow(
        "missing deadline",
        swap('deadline = "5m"\n', ""),
        "step payment",
        "the key 'deadline' is missing",
    ),
    flow(
        "bad duration",
        swap('"5m"', '"5 minutes"'),
        "step payment: deadline",
        "'5 minutes' is not a duration",
        "write for example 30s",
    ),
    flow(
        "duration that is a number",
        swap('"5m"', "300"),
        "step payment: deadline must be a string, not 300",
        "write it in quotes",
    ),
    flow(
        "duration of 400 digits",
        swap('"5m"', f'"{"9" * 400}d"'),
        "step payment: deadline",
        "longer than ten years",
    ),
    flow(
        "another's event",
        swap('done = "PaymentCaptured"', 'done = "ShipmentPickedUp"'),
        "step payment",
        "ShipmentPickedUp is owned by shipping",
    ),
    flow("unknown kind", swap('"pivot"', '"pivvot"'), "step shipping", "kind is 'pivvot'; write"),
    flow(
        "irreversible before reversible",
        swap(FIRST, '["shipping", "payment"]'),
        "shipping (pivot) comes before payment",
    ),
    flow(
        "misspelt key",
        swap('deadline = "5m"', 'deadline = "5m"\naks = []'),
        "step payment",
        "'aks' is not known",
        "asks, deadline",
    ),
    flow(
        "intervention of somebody without a step",
        swap("[interventions]", '[interventions]\nOrderPlaced = "placed"'),
        "interventions: OrderPlaced is owned by order",
        "name an event of a step",
    ),
    flow(
        "intervention without a code",
        swap("[interventions]", '[interventions]\nPaymentDeclined = "no code"'),
        "interventions.PaymentDeclined",
        "is not a name",
    ),
    flow("misspelt table", swap("[observes]", "[observe]"), "'observe' is not known", "observes"),
    flow(
        "list for an event",
        swap('start = "OrderPlaced"', "start = []"),
        "start must be a string, not []",
        "write it in quotes",
    ),
    flow(
        "list in a list of events",
        swap('["PaymentDeclined"]', "[[]]"),
        "step payment: failed must be a string, not []",
    ),
    flow(
        "text for a table",
        swap('waits = { ShipmentCreated = "7d", ShipmentPartlyPickedUp = "7d" }', 'waits = "7d"'),
        "step shipping: waits must be a table, not '7d'",
    ),
    flow(
        "version that is no number",
        swap(f"1 = {FIRST}", f"one = {FIRST}"),
        "version 'one' is not a version number",
        "write 1, 2, 3",
    ),
    flow("version nought", swap(f"1 = {FIRST}", f"0 = {FIRST}"), "version '0'", "write 1, 2, 3"),
    flow(
        "true for a version",
        swap("default_version = 1", "default_version = true"),
        "default_version must be a number, not True",
    ),
    flow(
        "undeclared default",
        swap("default_version = 1", "default_version = 9"),
        "default_version 9 is not declared",
    ),
    flow(
        "name with a slash",
        swap('name = "order"', 'name = "order/1"'),
        "name 'order/1' is not a name",
        "use letters",
    ),
    flow("place without steps", swap(FIRST, '["payment", []]'), "version 1", "an empty place"),
    flow(
        "balance by a number",
        swap('"charge_id"', "5"),
        "flow order, balances.money.id: PaymentCaptured = 5 is not a field name",
    ),
    flow(
        "balance under an unknown rule",
        swap('"one_movement"', '"most"'),
        "flow order, balances.money.completed is 'most'",
        "write one_movement, positive, zero, any",
    ),
    flow(
        "balance of a step that is none",
        swap('step = "payment"', 'step = "bank"'),
        "flow order, balances.money: step bank is not declared",
        "add [steps.bank], or correct the name",
    ),
    flow(
        "balance moved both ways by one event",
        swap('adds = ["PaymentCaptured", ', 'adds = ["PaymentRefunded", '),
        "flow order, balances.money: PaymentRefunded both adds and removes",
        "list it once",
    ),
    flow(
        "section of an earlier version",
        swap("[balances.money]", "[ledger]"),
        "'ledger' is not known",
    ),
)

CONFIGURATION = (
    setting(
        "nothing",
        {},
        "SAGA_BOOTSTRAP_SERVERS (Kafka, host:port[,host:port])",
        "SAGA_DATABASE_URL",
        "SAGA_PROVIDER_URL",
        "Field required",
        "set it in the environment",
    ),
    setting(
        "broker without a port",
        env(BOOTSTRAP_SERVERS="kafka"),
        "SAGA_BOOTSTRAP_SERVERS",
        "is 'kafka'",
        "host:port",
    ),
    setting("empty broker", env(BOOTSTRAP_SERVERS=""), "SAGA_BOOTSTRAP_SERVERS", "is ''"),
    setting(
        "database that is no URL",
        env(DATABASE_URL="nonsense"),
        "SAGA_DATABASE_URL (postgresql://user",
        "is no PostgreSQL URL",
    ),
    setting(
        "no contract", env(CONTRACT=None), "SAGA_CONTRACT (Package of the events", "Field required"
    ),
    setting(
        "contract that is no package",
        env(CONTRACT="schemas;trips"),
        "SAGA_CONTRACT",
        "is 'schemas;trips'",
        "separated by commas",
    ),
    setting(
        "another kind of database",
        env(DATABASE_URL="mysql://saga@db/x"),
        "SAGA_DATABASE_URL",
        "is no PostgreSQL URL",
    ),
    setting(
        "database port that is no number",
        env(DATABASE_URL="postgresql://u:pass@h:port/d"),
        "SAGA_DATABASE_URL",
        "is no PostgreSQL URL",
    ),
    setting(
        "registry that is no URL",
        env(SCHEMA_REGISTRY_URL="registry:8081"),
        "SAGA_SCHEMA_REGISTRY_URL",
        "write http://host:port",
    ),
    setting("provider that is no URL", env(PROVIDER_URL="provider"), "SAGA_PROVIDER_URL", "URL"),
    setting(
        "port beyond all ports",
        env(HTTP_PORT="65536"),
        "SAGA_HTTP_PORT",
        "is '65536'",
        "less than or equal to 65535",
    ),
    setting(
        "port that is no number",
        env(HTTP_PORT="http"),
        "SAGA_HTTP_PORT",
        "is 'http'",
        "valid integer",
    ),
    setting("wrong type", env(LOG_JSON="perhaps"), "SAGA_LOG_JSON", "is 'perhaps'"),
    setting("unknown log level", env(LOG_LEVEL="loud"), "SAGA_LOG_LEVEL", "is 'loud'", "'DEBUG'"),
    setting("empty secret", env(WEBHOOK_SECRET=""), "SAGA_WEBHOOK_SECRET", "is blank", "openssl"),
    setting(
        "secret that can be guessed",
        env(WEBHOOK_SECRET="change-me"),
        "SAGA_WEBHOOK_SECRET",
        "has 9 characters, at least 32 are needed",
    ),
    setting("stop that takes for ever", env(DRAIN_S="inf"), "SAGA_DRAIN_S", "is 'inf'"),
    setting("stop that takes no number", env(DRAIN_S="nan"), "SAGA_DRAIN_S", "is 'nan'"),
    setting(
        "instance id Kafka refuses", env(INSTANCE_ID="a b\n"), "SAGA_INSTANCE_ID", "is 'a b\\n'"
    ),
    setting(
        "deadlines that are no JSON",
        env(DEADLINES="payment=20s"),
        "SAGA_DEADLINES",
        "is no JSON",
        '{"dispatch": "20s"}',
    ),
    setting("deadlines that are a list", env(DEADLINES="[]"), "SAGA_DEADLINES", "is []"),
    setting(
        "deadline of an unknown step",
        env(DEADLINES='{"packing": "1m"}'),
        "SAGA_DEADLINES",
        "no flow has a step packing",
    ),
    setting(
        "deadline that is no duration",
        env(DEADLINES='{"payment": "soon"}'),
        "SAGA_DEADLINES",
        "'soon' is not a duration",
        "write for example 30s",
    ),
)

LOST = {"SAGA_MONITOR_URL": "http://127.0.0.1:9"}
COMMANDS = (
    command("unknown command", Ran(("shwo",)), "exit 2", "No such command 'shwo'"),
    command("unknown option", Ran(("ls", "--stuk")), "exit 2", "No such option", "--stuck"),
    command("missing argument", Ran(("show",)), "exit 2", "Missing argument 'SAGA'"),
    command("missing reason", Ran(("cancel", "o-1")), "exit 2", "Missing option '--reason'"),
    command("unknown status", Ran(("ls", "--status", "lost")), "exit 2", "'lost' is not one of"),
    command("limit below one", Ran(("ls", "--limit", "0")), "exit 2", "0 is not in the range"),
    command("orders of no world", Ran(("sim", "--only", "0,x")), "exit 2", "'0,x'", "0,3"),
    command("unknown fault", Ran(("sim", "--without", "dice")), "exit 2", "'dice'", "crash"),
    command("no worlds", Ran(("sim", "--seeds", "0")), "exit 2", "0 is not in the range"),
    command("unknown kind", Ran(("chaos", "--only", "flood")), "exit 2", "'flood' is not one of"),
    command(
        "new application with a bad name",
        Ran(("new", "My-Saga")),
        "exit 2",
        "'My-Saga' is no name of an application",
        "lower-case letters, digits and underscores",
    ),
    command(
        "new application named like a module",
        Ran(("new", "json")),
        "exit 2",
        "a module json can be imported here",
        "choose another name",
    ),
    command(
        "price that is no number",
        Ran(("place", "--price", "12.50")),
        "exit 2",
        "'12.50' is not a valid integer",
    ),
    command(
        "time that is no number",
        Ran(("wait", "o-1", "--timeout", "soon")),
        "exit 2",
        "'soon' is not a valid float",
    ),
    command(
        "environment without a value",
        Ran(("up", "--env", "A")),
        "exit 2",
        "'A' is not of the form KEY=VALUE",
    ),
    command(
        "port beyond all ports",
        Ran(("up", "--port-base", "70000")),
        "exit 2",
        "70000 is not in the range",
    ),
    command("unknown process", Ran(("up", "--only", "paymnt")), "exit 1", "paymnt"),
    command(
        "argument that is no UTF-8",
        Ran(("show", b"\xff")),
        "exit 2",
        "is not UTF-8",
        "write it again",
    ),
    command(
        "no stack to show",
        Ran(("show", "o-1")),
        "exit 1",
        "stack.json is not there",
        "`saga up --detach`",
    ),
    command(
        "no stack to place in",
        Ran(("place",)),
        "exit 1",
        "stack.json is not there",
        "`saga up --detach`",
    ),
    command(
        "no monitor there",
        Ran(("ls",), LOST),
        "exit 1",
        "does not answer at",
        "`saga up --detach` starts",
    ),
    command(
        "address that is none",
        Ran(("ls",), {"SAGA_MONITOR_URL": "http://[::1"}),
        "exit 1",
        "'http://[::1', the address of monitor, is not a URL",
        "set SAGA_MONITOR_URL",
    ),
    command(
        "address without a scheme",
        Ran(("ls",), {"SAGA_MONITOR_URL": "monitor"}),
        "exit 1",
        "'monitor', the address of monitor, is not a URL",
        "set SAGA_MONITOR_URL",
    ),
    command(
        "stack.json is no JSON, ls",
        Ran(("ls",), stack="{"),
        "exit 1",
        "cannot be read",
        "`saga up` writes a new one",
    ),
    command(
        "stack.json is no JSON, place",
        Ran(("place",), stack="{"),
        "exit 1",
        "cannot be read",
        "`saga up` writes a new one",
    ),
    command("stack.json is a list, ls", Ran(("ls",), stack="[]"), "exit 1", "is not a JSON object"),
    command(
        "stack.json is a number, wait", Ran(("wait", "o-1"), stack="5"), "exit 1", "cannot be read"
    ),
    command(
        "stack.json without addresses",
        Ran(("place",), stack='{"processes": {"x": {}}}'),
        "exit 1",
        "nothing is running in",
    ),
    command(
        "stack.json of a stack that is gone",
        Ran(
            ("wait", "o-1"),
            stack=('{"processes": {"x": {}}, "urls": {"monitor": "http://127.0.0.1:9"}}'),
        ),
        "exit 1",
        "does not answer",
        "`saga up --detach`",
    ),
)

FILES = (*FLOWS, *CONFIGURATION, *COMMANDS)
