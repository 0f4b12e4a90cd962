"""All bad HTTP requests. `given` is a Call, or a function that makes one when it is sent."""

from tests.bad_input.operator_requests import OPERATORS
from tests.bad_input.order_requests import ORDERS
from tests.bad_input.outside_requests import WORLD
from tests.bad_input.webhook_requests import WEBHOOKS

REQUESTS = (*WEBHOOKS, *ORDERS, *OPERATORS, *WORLD)
