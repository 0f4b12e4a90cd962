"""The contract can be loaded, and fits the manifest."""

from pathlib import Path

from saga_lab.application import check_modules, load_application

from lab.workload import KINDS, WORKLOAD

from errand_events import CONTRACT, FLOWS


def test_every_participant_of_the_flow_is_in_the_manifest() -> None:
    application = load_application(Path(__file__).parents[1])
    check_modules(application)
    assert {*application.participants} == {*CONTRACT.participants}


def test_the_workload_has_every_kind_on_every_version() -> None:
    labels = {flow.label(version) for flow in FLOWS for version in flow.versions}
    sagas = WORKLOAD.sagas("run", seed=0, count=200)
    assert {(saga.kind, saga.flow) for saga in sagas} == {
        (kind, label) for kind in KINDS for label in labels
    }
    assert all(WORKLOAD.start_events(saga) for saga in sagas)
