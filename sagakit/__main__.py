"""Run the program of a module: `python -m sagakit PACKAGE`, see `service.main`.

Until the program's lifecycle hears signals itself there is nothing in hand, and one ends it at
once.
"""

import os
import signal
import sys

# A closed stdout or stderr must not lend its number to a file or a socket: libraries write to it.
while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
    pass
os.close(spare)

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: os._exit(0))

# structlog loads rich where it is installed, to draw tracebacks: 10 MB that a service does not use.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]

from sagakit.service.main import main  # noqa: E402

main(sys.argv[1:])
