"""Simulates the order application: the `simulation` of its manifest.

`participants`: all of them, with stores in memory. `outside`: payment provider, carrier and mail
server, and what they know of each event's claims (`claims`). `story`: the plan of an order.
`people`: placing, cancelling, approving, pausing. `violations`: what must hold at the end of a run.
"""

from typing import TypeAlias

from saga_lab.simulation.world import World
from shop.simulation.outside import Behaviour, ShopOutside
from shop.simulation.people import begin
from shop.simulation.simulation import OrderSimulation
from shop.simulation.story import SKUS, OrderStory

__all__ = ["SIMULATION", "SKUS", "Behaviour", "OrderStory", "OrderWorld", "begin"]

SIMULATION = OrderSimulation()
OrderWorld: TypeAlias = World[ShopOutside]
