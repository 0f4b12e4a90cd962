"""Describes an application, the folder with a `saga.toml` that the lab runs, breaks and judges.

Every other folder of the lab and the command line may import this one; it imports the kit only.
"""

from saga_lab.application.folder import FILE_NAME, application_folder
from saga_lab.application.loader import (
    ManifestError,
    NoManifest,
    find_application,
    load_application,
)
from saga_lab.application.model import (
    MONITOR,
    Application,
    CommandSpec,
    OutsideSpec,
    ParticipantSpec,
)
from saga_lab.application.references import check_modules, contract_of, enter, resolve

__all__ = [
    "FILE_NAME",
    "MONITOR",
    "Application",
    "CommandSpec",
    "ManifestError",
    "NoManifest",
    "OutsideSpec",
    "ParticipantSpec",
    "application_folder",
    "check_modules",
    "contract_of",
    "enter",
    "find_application",
    "load_application",
    "resolve",
]
