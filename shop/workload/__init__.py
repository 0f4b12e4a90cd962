"""Simulates a shop: orders of every kind, and the people around them.

`kinds.KINDS` is the table of kinds with the end each must reach; `orders.Shop` builds an order from
its number; `trade.Trade` stocks, places and decides, through public interfaces only.
"""

from shop.workload.kinds import KINDS, OrderKind
from shop.workload.orders import Shop, ShopOrder
from shop.workload.trade import Trade

__all__ = ["KINDS", "WORKLOAD", "OrderKind", "Shop", "ShopOrder", "Trade"]

WORKLOAD = Trade()
