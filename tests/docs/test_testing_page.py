"""The test module of docs/how-to/test-a-participant.md, run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import sagakit.testing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/test-a-participant.md").read_text()


def test_the_module_on_the_page_passes(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    (tmp_path / "test_page.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    options = ["-c", "/dev/null", "--rootdir", str(tmp_path), "--import-mode=importlib"]
    done = subprocess.run(
        [*command, *options, str(tmp_path)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cells = 6 * 4
    assert f"{cells + 3} passed" in done.stdout


def test_the_page_names_all_that_an_author_needs() -> None:
    words = set(re.findall(r"\w+", PAGE))
    helpers = set(sagakit.testing.__all__) - {"NOW", "Given", "Then", "Past"}
    assert helpers <= words
