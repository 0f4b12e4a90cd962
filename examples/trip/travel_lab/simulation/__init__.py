"""Simulates trips: the `simulation` of the manifest.

`story`: the plan of a trip; `world`: its suppliers in memory, what people do, and what must hold
for them at the end.
"""

from travel_lab.simulation.story import TripStory
from travel_lab.simulation.world import TripSimulation, TripWorld

__all__ = ["SIMULATION", "TripStory", "TripWorld"]

SIMULATION = TripSimulation()
