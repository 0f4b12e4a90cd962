"""The peers' own Python environment, made from their lock at first use and kept in the cache.

Their packages are no dependencies of this project.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from saga_lab.devstack.jars import cache_dir

LOCK = Path(__file__).parent / "requirements.lock"


def bench_cache() -> Path:
    """What the benchmarks download and build lies here, outside the repository."""
    return cache_dir() / "bench"


def python() -> Path:
    """The interpreter that has the peers' packages. Raises `subprocess.CalledProcessError`."""
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
    if done.returncode:  # pip serves where only pip knows the way to a package index
        pip = ("-m", "pip", "install", "-q", "--disable-pip-version-check")
        subprocess.run([interpreter, *pip, *wanted], check=True)
