"""Finds the folder of an application, without reading its manifest."""

import os
from pathlib import Path

FILE_NAME = "saga.toml"
VARIABLE = "SAGA_APP"


def application_folder() -> Path | None:
    """Return the folder that SAGA_APP names, else the nearest one with a manifest, if any.

    The search goes from the working directory upwards.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / FILE_NAME).is_file()), None)
