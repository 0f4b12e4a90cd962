"""Notification sends one mail per order and kind, and retries until the mail server has it.

Listens to   Do on ShipmentPickedUp (shipped); observes ShipmentCreated (confirmed),
             PaymentRefunded (refunded), PaymentRefundFailed (corrected) and the moment the order is
             undone (cancelled)
Emits        ShippedMailSent (done), ConfirmationMailSent, RefundMailSent, CancellationMailSent,
             RefundCorrectionMailSent; `refused` says why, where the address is none or the mail
             server refuses it for good
Undoes       nothing: it stands behind the pivot
Calls        the mail server over SMTP, `mail:<kind>`; order, to open the sealed address
"""
