"""Run the service: `python -m services.notification`."""

from pathlib import Path

from sagakit.service.process import run
from sagakit.service.settings import load
from schemas import CONTRACT, FLOWS
from services.notification.service import NotificationSettings, build

if __name__ == "__main__":
    settings = load(NotificationSettings)
    run(
        build(settings),
        settings,
        flows=FLOWS,
        contract=CONTRACT,
        migrations=Path(__file__).parent / "migrations",
    )
