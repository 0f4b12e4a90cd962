"""Car reserves a rental car, which can be cancelled for nothing at any time.

Listens to   Do on TripPlaced; Undo when the hotel failed or is released
Emits        CarReserved (done), CarUnavailable (failed), CarReleased (undone), CarReleaseStarted,
             CarKept (calls a person)
Undoes       by cancelling the reservation; nothing was asked for yet: a fence
Calls        the rental, `reserve` and `cancel`
"""
