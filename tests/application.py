"""The order application, as its manifest at the root of the repository declares it."""

from saga_lab.application import load_application
from saga_lab.devstack.ports import PortTable
from tests.architecture.source import ROOT

ORDER = load_application(ROOT)
PORTS = PortTable(ORDER)
