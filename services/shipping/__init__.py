"""Shipping makes a label at the carrier and waits for the pickup, which is the pivot.

Listens to   Do on the step before it (PaymentCaptured or InventoryReserved, by flow version);
             Undo on OrderCancelRequested and CompensationRequested;
             POST /webhooks/carrier (signed): label.picked_up
Emits        ShipmentCreated, ShipmentPartlyPickedUp (waits), ShipmentPickedUp (done, the pivot),
             ShipmentFailed (failed), ShipmentCancelStarted, ShipmentCancelled (undone),
             ShipmentCancelRefused, ShipmentReportDoubted
Undoes       by cancelling the label; nothing was asked for yet: a fence. After the pickup an Undo
             is refused with ShipmentCancelRefused, once for each Undo.
Calls        the carrier, `label` and `cancel`; order, to open the sealed address
"""
