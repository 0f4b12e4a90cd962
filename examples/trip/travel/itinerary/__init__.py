"""Itinerary is the customer's side of a trip: it takes what they want, and tells them what became.

Listens to   PUT /trips/{id}, PUT /trips/{id}/stay, DELETE /trips/{id}; Do on FlightBooked; observes
             StayChangeRefused, FlightCancelRefused and the moment the trip is undone
Emits        TripPlaced, StayChangeRequested, TripCancelRequested; ItinerarySent (done), NoticeSent;
             `refused` says why, where the mail cannot be delivered
Undoes       nothing: it stands behind the pivot
Calls        the mail service, `mail:<kind>`
"""
