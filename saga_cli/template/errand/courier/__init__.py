"""Courier has the work done by a partner.

Listens to   Do on ErrandAccepted; Undo on ErrandCancelRequested and CompensationRequested
Emits        ErrandDone (done), ErrandRefused (failed), ErrandStopped (undone)
Undoes       by a fence, until the partner is asked; what the partner has done is never undone
Calls        the partner
"""
