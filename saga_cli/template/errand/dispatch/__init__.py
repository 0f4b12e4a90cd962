"""Dispatch sets a runner aside.

Listens to   Do on ErrandRequested; Undo when courier failed or is undone
Emits        ErrandAccepted (done), ErrandTurnedDown (failed), ErrandReleased (undone)
Undoes       by freeing the runner; if none is set aside yet, by a fence
Calls        nobody
"""
