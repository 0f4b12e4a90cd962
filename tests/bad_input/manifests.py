"""Bad application manifests."""

from tests.bad_input.case import Case
from tests.bad_input.files import Ran

APPLICATION = "application"
GOOD_MANIFEST = """\
name = "errand"
contract = "json"
[participants.runner]
module = "services.order"
env = { SAGA_SHOP_URL = "{shop.url}" }
[outside.shop]
module = "json.decoder"
"""


def manifest(name: str, content: str, *words: str) -> Case:
    """A manifest, with `saga up`: the message names the file, and a place in it."""
    given = Ran(("up",), manifest=content)
    return Case(name, APPLICATION, given, "exit 2", ("saga.toml: ", *words))


ONE = GOOD_MANIFEST
MANIFESTS = (
    Case(
        "folder without a manifest",
        APPLICATION,
        Ran(("--app", "/nowhere", "ls")),
        "exit 2",
        ("/nowhere/saga.toml: there is no such file", "--app DIR"),
    ),
    Case(
        "folder without a manifest, by SAGA_APP",
        APPLICATION,
        Ran(("up",), {"SAGA_APP": "/nowhere"}),
        "exit 2",
        ("/nowhere/saga.toml: there is no such file", "SAGA_APP"),
    ),
    manifest("manifest that is no TOML", "name = = 1", "it is not valid TOML", "line 1"),
    manifest("100000 brackets", "a = " + "[" * 100_000, "it is not valid TOML"),
    manifest("empty manifest", "", "participants must be a table", "write [participants]"),
    manifest(
        "no participants",
        ONE[: ONE.index("[participants")] + "[participants]\n",
        "participants is empty",
        "declare each as [participants.NAME]",
    ),
    manifest("unknown key", f"colour = 1\n{ONE}", "'colour' is not known", "contract"),
    manifest(
        "unknown key of a participant",
        ONE.replace("module", "modul", 1),
        "participants.runner: 'modul' is not known",
        "use env, module, replicas",
    ),
    manifest("unknown part of the lab", f"{ONE}[lab]\ndrill = 'a:B'\n", "lab: 'drill'", "chaos"),
    manifest("no contract", ONE.replace('contract = "json"', ""), "contract is empty", "name the"),
    manifest(
        "contract that is no module",
        ONE.replace('"json"', '"json/events"', 1),
        "contract 'json/events' is no module",
        "write package.module",
    ),
    manifest(
        "contract that cannot be imported",
        ONE.replace('"json"', '"no_such_events"', 1),
        "contract: no_such_events cannot be imported (there is no such module)",
        "mend the name",
    ),
    manifest(
        "participant that cannot be imported",
        ONE.replace("services.order", "no_such_runner"),
        "participants.runner.module: no_such_runner.service cannot be imported",
        "mend the name",
    ),
    manifest(
        "fake that cannot be imported",
        ONE.replace("json.decoder", "json.fake"),
        "outside.shop.module: json.fake cannot be imported",
        "mend the name",
    ),
    manifest(
        "placeholder of an unknown name",
        ONE.replace("{shop.url}", "{shoe.url}"),
        "participants.runner.env.SAGA_SHOP_URL: shoe is no participant, fake or port",
        "use monitor, runner, shop",
    ),
    manifest(
        "placeholder of an unknown attribute",
        ONE.replace("{shop.url}", "{shop.uri}"),
        "participants.runner.env.SAGA_SHOP_URL: shop.uri does not exist",
        "use host, port, secret, url",
    ),
    manifest(
        "placeholder without a name",
        ONE.replace("{shop.url}", "{}"),
        "participants.runner.env.SAGA_SHOP_URL: {} is no placeholder",
        "write {NAME.url}",
    ),
    manifest(
        "brace that is not closed",
        ONE.replace("{shop.url}", "{shop.url"),
        "participants.runner.env.SAGA_SHOP_URL: expected '}'",
        "{{ or }} for a brace",
    ),
    manifest(
        "name used twice",
        f'{ONE}ports = ["runner"]\n',
        "the name runner is used twice",
        "choose another",
    ),
    manifest(
        "name of the stack's own",
        ONE.replace("[participants.runner]", "[participants.kafka]"),
        "the name kafka is one of the stack's own",
        "choose another",
    ),
    manifest(
        "name with a space",
        ONE.replace("[outside.shop]", '[outside."a shop"]'),
        "'a shop' is no name of a process",
        "lower-case letters",
    ),
    manifest(
        "reference without a colon",
        f'{ONE}[lab]\nworkload = "shop.workload"\n',
        "lab.workload 'shop.workload' is no reference",
        "write module:ATTRIBUTE",
    ),
    manifest(
        "replicas that are a number",
        ONE.replace("env =", "replicas = 2\nenv ="),
        "participants.runner.replicas must be true or false, not 2",
    ),
    manifest(
        "port that is a number",
        ONE.replace("env =", "env = { SAGA_N = 1 }\n#"),
        "participants.runner.env.SAGA_N must be a string, not 1",
        "write it in quotes",
    ),
    Case(
        "command with the name of another",
        APPLICATION,
        Ran(("rise",), manifest=f'{ONE}[commands]\nup = {{ call = "a:b", help = "Go." }}\n'),
        "exit 2",
        ("commands.up: `saga up` exists for every application", "choose another name"),
    ),
    manifest(
        "command whose module cannot be imported",
        f'{ONE}[commands]\nrise = {{ call = "no_such:b", help = "Go." }}\n',
        "commands.rise.call: no_such cannot be imported",
        "mend the name",
    ),
)
