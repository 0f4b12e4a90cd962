"""An application's manifest: what it declares, and how it is found and used."""

import os
import sys
from pathlib import Path

import click
import pytest

from saga_lab.application import (
    ManifestError,
    NoManifest,
    check_modules,
    contract_of,
    find_application,
    load_application,
    resolve,
)
from saga_lab.application.model import fill, placeholders
from tests.architecture.source import ROOT

SMALL = """\
name = "errand"
contract = "errand_events"

[participants.runner]
module = "errand_runner"
env = { SAGA_SHOP_URL = "{shop.url}", SAGA_SECRET = "{shop.secret}" }

[participants.clerk]
module = "errand_clerk"
replicas = false

[outside.shop]
module = "errand_shop"
ports = ["till"]
env = { SANDBOX_WEBHOOK_SECRET = "{shop.secret}" }

[lab]
workload = "errand_lab:WORKLOAD"

[commands]
fetch = { call = "errand_lab:fetch", help = "Fetch one thing." }
"""
LAB = "import click\nWORKLOAD = 7\nfetch = click.Command('fetch')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small application; what it changes in this process is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.delenv("SAGA_APP", raising=False)
    (tmp_path / "saga.toml").write_text(SMALL)
    return tmp_path


# --- what it declares ---------------------------------------------------------------------------


def test_a_manifest_declares_participants_fakes_and_the_lab(folder: Path) -> None:
    application = load_application(folder)
    assert (application.name, application.folder) == ("errand", folder)
    assert application.contract == ("errand_events",)
    assert [*application.participants] == ["runner", "clerk"]
    assert application.participants["runner"].replicas
    assert not application.participants["clerk"].replicas
    assert application.outside["shop"].ports == ("till",)
    assert application.workload == "errand_lab:WORKLOAD"
    assert application.chaos is None
    assert application.commands["fetch"].help == "Fetch one thing."


def test_a_participant_calls_the_fake_whose_url_it_has(folder: Path) -> None:
    application = load_application(folder)
    assert application.calls() == (("runner", "shop"),)
    assert application.secrets() == ("shop",)


def test_a_contract_may_have_several_packages(folder: Path) -> None:
    (folder / "saga.toml").write_text(SMALL.replace('"errand_events"', '["one", "two.events"]'))
    assert load_application(folder).contract == ("one", "two.events")


def test_the_order_application_is_declared_and_its_modules_are_found() -> None:
    application = load_application(ROOT)
    check_modules(application)
    assert {*contract_of(application).participants} == {*application.participants}


# --- placeholders -------------------------------------------------------------------------------


def test_a_placeholder_is_replaced_and_a_doubled_brace_is_a_brace() -> None:
    text = '{{"at": "{shop.url}/v1", "by": "{shop.secret}"}}'
    assert placeholders(text) == (("shop", "url"), ("shop", "secret"))
    assert (
        fill(text, lambda *found: "-".join(found)) == '{"at": "shop-url/v1", "by": "shop-secret"}'
    )
    assert fill("as it is", lambda *_: "") == "as it is"


@pytest.mark.parametrize("text", ["{", "}", "{}", "{shop}", "{.url}", "{shop.url!r}", "{a.b:3}"])
def test_what_is_no_placeholder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write \{NAME.url\}"):
        placeholders(text)


# --- finding it ---------------------------------------------------------------------------------


def test_the_variable_goes_before_the_working_directory_and_this_before_its_parents(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path_factory.mktemp("above")
    here = above / "a" / "b"
    here.mkdir(parents=True)
    (above / "saga.toml").write_text(SMALL.replace("errand", "above", 1))
    monkeypatch.chdir(here)
    assert find_application().name == "above"
    (here / "saga.toml").write_text(SMALL.replace("errand", "here", 1))
    assert find_application().name == "here"
    monkeypatch.setenv("SAGA_APP", str(folder))
    assert find_application().name == "errand"


def test_without_a_manifest_the_error_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGA_APP", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoManifest, match=r"no saga.toml here or in a folder above.*--app DIR"):
        find_application()
    with pytest.raises(NoManifest, match=rf"{tmp_path}/a/saga.toml: there is no such file"):
        load_application(tmp_path / "a")


# --- importing what it names --------------------------------------------------------------------


def test_a_reference_is_imported_from_the_applications_folder(folder: Path) -> None:
    (folder / "errand_lab.py").write_text(LAB)
    application = load_application(folder)
    assert resolve(application, "lab.workload", "errand_lab:WORKLOAD") == 7
    assert isinstance(resolve(application, "commands.fetch", "errand_lab:fetch"), click.Command)
    assert os.environ["PYTHONPATH"].split(os.pathsep)[0] == str(folder)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("errand_broken:X", r"errand_broken cannot be imported \(ZeroDivisionError"),
        ("errand_absent:X", r"errand_absent cannot be imported \(ModuleNotFoundError"),
        ("errand_good:X", "errand_good has no X; define it there"),
        ("errand_asks:X", r"errand_asks cannot be imported \(AttributeError"),
    ],
)
def test_a_reference_that_leads_nowhere_names_file_place_and_reason(
    folder: Path, reference: str, reason: str
) -> None:
    (folder / "errand_broken.py").write_text("1 / 0")
    (folder / "errand_good.py").write_text("")
    (folder / "errand_asks.py").write_text("None.nothing")
    with pytest.raises(ManifestError, match=rf"^{folder}/saga.toml: lab.chaos: {reason}"):
        resolve(load_application(folder), "lab.chaos", reference)


def test_a_module_that_is_not_there_is_named_with_its_place(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"saga.toml: contract: errand_events cannot be"):
        contract_of(load_application(folder))
    (folder / "errand_events.py").write_text("")
    with pytest.raises(ManifestError, match=r"participants.runner.module: errand_runner.service"):
        check_modules(load_application(folder))
