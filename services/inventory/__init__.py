"""Inventory: reserves all lines of an order or none; on hand never falls below zero.

listens to  Do, Undo (see docs/flow.md), ShipmentPickedUp: what was reserved has left
emits       InventoryReserved, InventoryRejected, InventoryReleased, InventoryShipped,
            StockReceived
undoes      gives the reserved units back: InventoryReleased
calls       nobody
API         POST /stock {sku, quantity, actor, reason, id}; GET /stock?sku=
"""
