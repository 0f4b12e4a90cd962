"""Load the settings and run the monitor: `python -m saga_monitor`."""

from saga_monitor.service import MonitorSettings, run
from sagakit.service.settings import load

run(load(MonitorSettings))
