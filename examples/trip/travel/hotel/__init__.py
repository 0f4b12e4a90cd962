"""Hotel holds the price of a stay on the card, and takes it when the change window is over.

Listens to   Do on CarReserved; Undo when the flight failed or is cancelled; StayChangeRequested;
             POST /webhooks/payer (signed): hold.due, hold.expired
Emits        HotelHeld, StayChangesClosed (waits), HotelCaptured (done), HotelFailed (failed),
             HotelReleased (undone), StayChangeAccepted, StayChangeRefused, HotelCapturedLate,
             HotelReleaseStarted; HotelMismatched, HotelDoubted, HotelReversed, HotelKept (call a
             person)
Undoes       by voiding what is held and refunding what was captured; nothing was asked for yet: a
             fence
Calls        the payer, `hold:<stay>`, `void:<stay>`, `capture`, `release` and
             `look:<report>`
"""
