"""Run the service: `python -m services.fraud`."""

from pathlib import Path

from sagakit.service.process import run
from sagakit.service.settings import ServiceSettings, load
from schemas import CONTRACT, FLOWS
from services.fraud.service import build

if __name__ == "__main__":
    run(
        build(),
        load(ServiceSettings),
        flows=FLOWS,
        contract=CONTRACT,
        migrations=Path(__file__).parent / "migrations",
    )
