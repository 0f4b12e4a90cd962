"""Run the service: `python -m services.shipping`."""

from pathlib import Path

from sagakit.service.process import run
from sagakit.service.settings import load
from schemas import CONTRACT, FLOWS
from services.shipping.service import ShippingSettings, build

if __name__ == "__main__":
    settings = load(ShippingSettings)
    run(
        build(settings),
        settings,
        flows=FLOWS,
        contract=CONTRACT,
        migrations=Path(__file__).parent / "migrations",
    )
