"""Simulates a shop on the embedded stack: orders of every kind, and the people around them.

`kinds.KINDS` is the table of kinds with the end each must reach; `orders.Shop` builds an order from
its number; `trade.Trade` stocks, places, decides and waits, through public interfaces only.
"""

from saga_lab.workload.kinds import KINDS, End, OrderKind
from saga_lab.workload.orders import Entrance, Shop, ShopOrder

__all__ = ["KINDS", "End", "Entrance", "OrderKind", "Shop", "ShopOrder"]
