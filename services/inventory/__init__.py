"""Inventory reserves the goods of an order, all or none.

Listens to   Do on the step before it (OrderPlaced or PaymentCaptured, by flow version);
             Undo when the step behind it failed or is undone; ShipmentPickedUp;
             POST /stock: units put on hand
Emits        InventoryReserved (done), InventoryRejected (failed), InventoryReleased (undone),
             InventoryShipped, StockReceived (keyed `sku:<sku>`)
Undoes       by putting back on hand what was set aside; nothing was: a fence. What the carrier
             has picked up does not come back by an Undo.
Calls        nobody
"""
