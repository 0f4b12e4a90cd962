"""`python -m saga_monitor`: settings in, the monitor runs."""

from saga_monitor.service import MonitorSettings, run
from sagakit.service.settings import load

run(load(MonitorSettings))
