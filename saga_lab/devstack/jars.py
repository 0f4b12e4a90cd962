"""Fetches Java programs from Maven Central, pinned by sha256 and cached.

A lock file beside this module lists one artifact per line, `<sha256> <group:artifact:version...>`.
So no dependency is resolved at run time, and only reviewed files are fetched. `make lock` resolves
the dependencies of `KAFKA` again, and rewrites both lock files.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from saga_lab.devstack.errors import StackError

# 4.4.0 depends on a jar that is not published yet.
KAFKA = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
REGISTRY = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
KAFKA_LOCK = Path(__file__).with_name("kafka.sha256")
REGISTRY_LOCK = Path(__file__).with_name("registry.sha256")

_FETCH_ATTEMPTS = 3
_FETCHES_AT_ONCE = 8


@dataclass(frozen=True)
class Jar:
    """One pinned artifact. `coordinate` is group:artifact:version[:packaging[:classifier]]."""

    sha256: str
    coordinate: str

    @property
    def file_name(self) -> str:
        _group, artifact, version, packaging, classifier = _parts(self.coordinate)
        return f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.{packaging}"


def cache_dir() -> Path:
    """Return `$SAGA_CACHE`, else `saga` in the user's cache directory."""
    chosen = os.environ.get("SAGA_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "saga"


def read_lock(lock: Path) -> list[Jar]:
    """Return the artifacts that a lock file names."""
    lines = (line.split() for line in lock.read_text().splitlines() if line.strip())
    return [Jar(sha256, coordinate) for sha256, coordinate in lines]


def fetch(lock: Path, cache: Path, say: Callable[[str], None]) -> list[Path]:
    """Return the paths of all artifacts of a lock file, downloading those the cache lacks.

    Every file is verified against its sha256. Raises `StackError` without network, without disk
    space, or if a download is not the pinned file.
    """
    jars = read_lock(lock)
    folder = cache / lock.stem
    paths = [folder / jar.file_name for jar in jars]
    missing = [
        (jar, path)
        for jar, path in zip(jars, paths, strict=True)
        if not path.exists() or _sha256(path) != jar.sha256
    ]
    if missing:
        say(f"downloading {len(missing)} files of {lock.stem} (once; kept in {folder})")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
                list(pool.map(lambda item: _download(*item), missing))
        except OSError as error:
            raise StackError(
                f"cannot keep {lock.stem} in {folder}: {error}. "
                "Free some disk space there, or set SAGA_CACHE to another directory."
            ) from error
    return paths


def unpacked_registry(cache: Path, say: Callable[[str], None]) -> Path:
    """Return the directory of the unpacked schema registry, fetching it if need be."""
    (pinned,) = read_lock(REGISTRY_LOCK)
    target = cache / REGISTRY_LOCK.stem / pinned.file_name.removesuffix(".tar.gz")
    if not target.exists():
        (archive,) = fetch(REGISTRY_LOCK, cache, say)
        # Unpack elsewhere, then rename: a partly unpacked directory is never taken for complete.
        aside = Path(tempfile.mkdtemp(dir=archive.parent))
        with tarfile.open(archive) as tar:
            tar.extractall(aside, filter="data")
        (jar,) = aside.rglob("quarkus-run.jar")
        jar.parent.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _download(jar: Jar, path: Path) -> None:
    """Download to a temporary directory, verify, then rename to `path`: never half a file."""
    with tempfile.TemporaryDirectory(dir=path.parent) as aside:
        fetched = _fetch_from_central(jar, Path(aside))
        actual = _sha256(fetched)
        if actual != jar.sha256:
            raise StackError(
                f"{jar.coordinate} from Maven Central has sha256 {actual}, pinned is "
                f"{jar.sha256}: the download was tampered with or cut short. Run again; if it "
                "stays, do not use this network's mirror."
            )
        fetched.replace(path)


def _fetch_from_central(jar: Jar, into: Path) -> Path:
    # Imported here because a start from the cache needs neither.
    import requests
    from jgo.maven import MavenContext

    group, artifact, version, packaging, classifier = _parts(jar.coordinate)
    for attempt in range(1, _FETCH_ATTEMPTS + 1):
        try:
            component = MavenContext(repo_cache=into / str(attempt), local_repos=[]).project(
                group, artifact
            )
            return component.at_version(version).artifact(classifier, packaging).resolve()
        except (requests.RequestException, RuntimeError) as error:
            failure = error
    raise StackError(
        f"cannot download {jar.coordinate} from Maven Central: {failure}. The first start needs "
        "the network (behind a proxy set HTTPS_PROXY); later starts use the cache. Without "
        "network: --stack=external with a Kafka of your own."
    ) from failure


def _parts(coordinate: str) -> tuple[str, str, str, str, str]:
    group, artifact, version, *rest = coordinate.split(":")
    packaging, classifier = (*rest, *("jar", "")[len(rest) :])
    return group, artifact, version, packaging, classifier


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rewrite_locks() -> None:
    """Resolve Kafka's dependencies again, and pin what Maven Central serves today in both locks."""
    import jgo

    resolved = {f"{item.groupId}:{item.artifactId}:{item.version}" for item in jgo.resolve(KAFKA)}
    for lock, coordinates in (
        (KAFKA_LOCK, sorted(resolved)),
        (REGISTRY_LOCK, [REGISTRY]),
    ):
        with tempfile.TemporaryDirectory() as aside:
            lines = [
                f"{_sha256(_fetch_from_central(Jar('', name), Path(aside, str(n))))} {name}\n"
                for n, name in enumerate(coordinates)
            ]
        lock.write_text("".join(lines))
