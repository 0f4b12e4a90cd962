"""Lists the contenders."""

from benchmarks.figures import Contender
from benchmarks.http_contender import OverHttp
from benchmarks.peers.choreography import Choreography
from benchmarks.peers.dbos import Dbos
from benchmarks.peers.http_choreography import HttpChoreography
from benchmarks.peers.temporal import Temporal
from benchmarks.platform_contender import Platform

CONTENDERS: tuple[Contender, ...] = (
    Platform(monitors=2),
    Choreography("plain", "plain", 10_000),
    Choreography("fast", "fast", 5_000),
    Dbos(),
    Temporal("temporal-local", True, 1500),
    Temporal("temporal", False, 800),
)
OVER_HTTP: tuple[Contender, ...] = (
    OverHttp(),
    HttpChoreography("plain", "plain_http"),
    HttpChoreography("fast", "fast_http"),
)
"""The contenders of `--over-http`: orders come over HTTP, the outside world is called over HTTP and
SMTP."""
