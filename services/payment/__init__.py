"""Payment takes the customer's money, and refunds it when the order is undone.

Listens to   Do on the step before it (OrderPlaced or InventoryReserved, by flow version);
             Undo when the step behind it failed or is undone;
             VerdictGiven for step payment: approve, reject;
             ChargeFound: what the provider's ledger holds more than the books here;
             POST /webhooks/provider (signed): charge.captured, charge.declined, refund.succeeded
Emits        PaymentCaptured (done), PaymentDeclined (failed), PaymentRefunded (undone),
             PaymentReviewRequired, PaymentActionRequired, PaymentPending (waits),
             PaymentRefundStarted, PaymentRefundProgressed
Undoes       by a refund of what was captured, or by voiding the charge; nothing was asked for yet:
             a fence. A capture that comes after the end, however late, is given back as well.
Calls        the payment provider, `charge`, `look`, `refund:<n>` and
             `refund:again:<charge>:<given back before>`
"""
