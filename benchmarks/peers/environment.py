"""Creates the peers' Python environment from their lock file at first use, and caches it.

Their packages are not dependencies of this project.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from saga_lab.devstack.jars import cache_dir

LOCK = Path(__file__).parent / "requirements.lock"


def bench_cache() -> Path:
    """Return the folder for what the benchmarks download and build, outside the repository."""
    return cache_dir() / "bench"


def python() -> Path:
    """Return the interpreter that has the peers' packages, creating its environment if missing.

    Raises `subprocess.CalledProcessError`.
    """
    found = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = bench_cache() / f"peers-{found}"
    interpreter = home / "bin" / "python"
    ready = home / ".ready"
    if not ready.exists():
        print("benchmarks: making the peers' environment, once")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        _install(interpreter)
        ready.touch()
    return interpreter


def _install(interpreter: Path) -> None:
    wanted = ("--require-hashes", "-r", str(LOCK))
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, "pip", "install", "-q", "--python", interpreter, *wanted])
    if done.returncode:  # the package index may be in pip's configuration only
        pip = ("-m", "pip", "install", "-q", "--disable-pip-version-check")
        subprocess.run([interpreter, *pip, *wanted], check=True)
