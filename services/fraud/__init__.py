"""Fraud clears or rejects an order by its fraud score, side by side with inventory.

Listens to   Do on the step before it (OrderPlaced, where it stands first); Undo when a step beside
             it failed, or the step behind it failed or is undone
Emits        FraudCleared (done), FraudRejected (failed), FraudWithdrawn (undone)
Undoes       by withdrawing what it cleared; nothing was: a fence
Calls        nobody
"""
