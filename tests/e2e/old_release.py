"""The code of the release before, for a rolling deploy: another tree, on the released contract.

The services that were there then, with the flow file and the schemas that were released, and the
event classes made from them: it knows neither `order/3` nor a loyalty card, as little as it knows
their bytes. Kit and deciders are today's, so events that only these name are there as well, and
what only these say in an event that was released is left out of it (`LATER`).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from sagakit.contract.files import read_set
from sagakit.contract.loader import join, load_platform
from sagakit.contract.model import Contract
from sagakit.flow import loader
from sagakit.flow.model import Flow
from schemas import EVENT_TYPES, FLOWS, OWNERS

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "schemas" / "released" / "1"
PARTICIPANTS = ("inventory", "payment", "shipping", "notification")
OF_TODAY = """    if order.loyalty_card is not None:
        yield from _name("loyalty_card", order.loyalty_card, MAX_LOYALTY_CARD)
"""
"""What the services of then did not ask: of facts there were not."""
_OLD_SET = read_set(RELEASED)
LATER = {
    name: {
        field.name: field.default
        for field in fields(EVENT_TYPES[name])
        if field.name not in {known["name"] for known in _OLD_SET[name]["fields"]}
    }
    for name in sorted(EVENT_TYPES.keys() & _OLD_SET)
}
"""Event -> the fields that it did not have then, with their defaults."""
WITHOUT_LATER = """

def _without_later(event, later):
    made = event.__init__

    def init(self, **given):
        made(self, **{name: value for name, value in given.items() if name not in later})

    event.__init__ = init
    for name, default in later.items():
        setattr(event, name, default)


for _name, _later in LATER.items():
    _without_later(globals()[_name], _later)
"""
CONTRACT = join(
    load_platform(),
    Contract({name: EVENT_TYPES[name] for name in EVENT_TYPES.keys() & _OLD_SET}, _OLD_SET),
)
"""How its events are written."""


def flow() -> Flow:
    """Its flow file."""
    return loader.load((RELEASED / "flows" / "order.toml").read_text(), OWNERS)


def tree(at: Path) -> Path:
    """Its code, put together in a folder of its own."""
    for package in ("sagakit", "schemas", *(f"services/{name}" for name in PARTICIPANTS)):
        no_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, at / package, ignore=no_caches)
    shutil.copy(ROOT / "services" / "__init__.py", at / "services")
    (today,) = FLOWS
    for name, owner in OWNERS.items():
        if owner in today.steps and owner not in PARTICIPANTS:
            (at / "schemas" / f"{name}.avsc").unlink()
    for path in RELEASED.glob("*.avsc"):
        shutil.copy(path, at / "schemas")
    shutil.copy(RELEASED / "flows" / "order.toml", at / "schemas" / "flows")
    rules = at / "schemas" / "rules.py"
    before, asked, after = rules.read_text().partition(OF_TODAY)
    assert asked, "schemas/rules.py has changed; say here what it did not have then"
    rules.write_text(before + after)
    subprocess.run(
        [sys.executable, "-m", "sagakit.contract.generate", "schemas"],
        check=True,
        cwd=at,
        env={**os.environ, **environment(at)},
    )
    with (at / "schemas" / "events.py").open("a") as events:
        events.write(WITHOUT_LATER.replace("LATER", repr(LATER)))
    return at


def environment(tree: Path) -> Mapping[str, str]:
    """With it `python -m sagakit services.payment` is the old one, in any directory."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
