"""Order accepts orders over HTTP and reports how each one ended.

Listens to   POST /orders, POST /orders/{id}/cancel, POST /erasures, POST /sealed,
             POST /sealed/open; observes OrderPlaced (its own echo, or that of a shop with its own
             order system), refused (an OrderPlaced that came too late) and the two ends of an
             order, completed and undone
Emits        OrderPlaced, OrderRejected (the id is taken by an order with other content),
             OrderCancelRequested, OrderCompleted, OrderCancelled
Undoes       nothing: it is no step
Calls        its own key store, `compare:<digest>`: whether sealed and clear facts are the same
"""
