"""Flight buys the ticket, which is paid at once: the pivot, after which nothing is undone.

Listens to   Do on HotelCaptured; Undo on TripCancelRequested and CompensationRequested
Emits        FlightBooked (done, the pivot), FlightFailed (failed), FlightCancelled (undone),
             FlightBookedLate, FlightCancelStarted, FlightCancelRefused,
             FlightMismatched, FlightKept (call a person)
Undoes       while the booking is in flight, by cancelling it, and a ticket that was bought
             meanwhile is refunded; nothing was asked for yet: a fence. After FlightBooked an Undo
             is refused with FlightCancelRefused.
Calls        the airline, `buy` and `refund`
"""
