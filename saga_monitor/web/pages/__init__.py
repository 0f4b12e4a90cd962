"""The pages of the dashboard, one module each: a function that adds its routes to a router."""
