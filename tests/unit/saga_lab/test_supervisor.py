"""What counts as gone of a process that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from saga_lab.devstack.supervisor import wait_gone
from tests.stack import until

# The first thread ends, another stays: as a killed broker looks while its threads end one by one.
HEADLESS = """
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_is_gone_when_the_last_of_its_threads_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", HEADLESS])
    try:
        until(lambda: state(process.pid) == "Z", "its first thread gone")
        assert wait_gone([process.pid], timeout_s=0) == [process.pid]
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: wait_gone([process.pid], timeout_s=0) == [], "all of it gone")
        assert state(process.pid) == "Z", "though nobody has read its exit status"
    finally:
        process.kill()
        process.wait()
