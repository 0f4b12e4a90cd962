"""Runs the fake hotel payer: `python -m travel_lab.outside.payer`.

A supplier whose bookings are pre-authorisations. Its webhooks are `hold.due` (the change window is
over) and `hold.expired`; see `saga_lab.fakes.callbacks`, also for `/control/flush` and
`/control/resend`.
"""

from saga_lab.fakes import base, callbacks
from travel_lab.outside.supplier import SCHEMA, Supplier, supplier_app


def main() -> None:
    settings = base.read_settings(base.CallbackSettings)
    ledger = base.Ledger(settings.db, SCHEMA + callbacks.SCHEMA)
    app = supplier_app(ledger, callbacks.router)
    app.state.callbacks = callbacks.Callbacks(ledger, settings, app)
    app.state.supplier = Supplier(ledger, carry_out=app.state.callbacks.carry_out)
    app.state.callbacks.when_due(app.state.supplier.timer_due)
    base.serve(app, settings, app.state.callbacks.running())


if __name__ == "__main__":
    main()
