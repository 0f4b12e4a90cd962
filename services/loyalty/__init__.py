"""Loyalty grants points on the customer's card once the parcel has left.

Listens to   Do on the step before it (ShipmentPickedUp)
Emits        PointsGranted (done)
Undoes       nothing: it stands behind the pivot
Calls        nobody
"""
