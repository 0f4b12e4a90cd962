"""Payment takes the customer's money, and refunds it when the order is undone.

Listens to   Do on the step before it (OrderPlaced or InventoryReserved, by flow version);
             Undo when the step behind it failed or is undone;
             VerdictGiven for step payment: approve, reject;
             ChargeFound: a hint that the provider's ledger differs from the books here;
             POST /webhooks/provider (signed): charge.captured, charge.declined, refund.succeeded,
             refund.failed, dispute.opened, dispute.won, dispute.lost
Emits        PaymentCaptured (done), PaymentDeclined (failed), PaymentRefunded (undone),
             PaymentReviewRequired, PaymentActionRequired, PaymentPending and PaymentMismatched
             (waits), PaymentReportDoubted, PaymentRefundStarted, PaymentRefundProgressed,
             PaymentRefundFailed, PaymentDisputeOpened, PaymentDisputeWon, PaymentDisputeLost
Undoes       by a refund of what was captured, or by voiding the charge; nothing was asked for yet:
             a fence. A capture that comes after the end, however late, is given back as well.
Calls        the payment provider, `charge`, `look:<charge>[:<report>]`, `refund:<n>` and
             `refund:again:<charge>:<given back before>`
"""
