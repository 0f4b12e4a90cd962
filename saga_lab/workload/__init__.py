"""A shop on the embedded stack: orders of every kind, and the people around them.

`kinds.KINDS` is the table of kinds with the end each must come to; `orders.Shop` builds an order
from its number; `trade.Trade` stocks, places, decides and waits, through the public doors only.
"""

from saga_lab.workload.kinds import KINDS, End, Kind
from saga_lab.workload.orders import Entrance, Shop, ShopOrder

__all__ = ["KINDS", "End", "Entrance", "Kind", "Shop", "ShopOrder"]
