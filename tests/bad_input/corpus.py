"""Every bad input we know, with what it gets."""

from tests.bad_input.case import Case
from tests.bad_input.contracts import CONTRACTS
from tests.bad_input.events import EVENTS
from tests.bad_input.files import FILES
from tests.bad_input.manifests import MANIFESTS
from tests.bad_input.requests import REQUESTS

CORPUS: tuple[Case, ...] = (*EVENTS, *REQUESTS, *FILES, *MANIFESTS, *CONTRACTS)
