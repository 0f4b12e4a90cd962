"""Who takes part."""

from benchmarks.figures import Contender
from benchmarks.ours import Platform
from benchmarks.peers.choreography import Choreography

CONTENDERS: tuple[Contender, ...] = (
    Platform(),
    Choreography("plain", "plain", 10_000),
    Choreography("fast", "fast", 5_000),
)
