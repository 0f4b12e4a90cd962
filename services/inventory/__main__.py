"""Run the service: `python -m services.inventory`."""

from pathlib import Path

from sagakit.service.process import run
from sagakit.service.settings import ServiceSettings, load
from schemas import CONTRACT, FLOWS
from services.inventory.service import build

if __name__ == "__main__":
    settings = load(ServiceSettings)
    run(
        build(settings),
        settings,
        flows=FLOWS,
        contract=CONTRACT,
        migrations=Path(__file__).parent / "migrations",
    )
