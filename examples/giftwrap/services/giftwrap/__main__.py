"""Run the service: `python -m services.giftwrap`."""

from pathlib import Path

from sagakit import load, run
from schemas import CONTRACT, FLOWS
from services.giftwrap.service import GiftwrapSettings, build

if __name__ == "__main__":
    settings = load(GiftwrapSettings)
    run(
        build(settings),
        settings,
        flows=FLOWS,
        contract=CONTRACT,
        migrations=Path(__file__).parent / "migrations",
    )
