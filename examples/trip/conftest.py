"""Lets the tests import the application's packages, as `saga --app examples/trip` does."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "tests")]
