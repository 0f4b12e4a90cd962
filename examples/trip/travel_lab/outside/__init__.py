"""Fakes the four suppliers: rental, hotel payer, airline and mail service.

They differ in what they sell and agree in how: something is booked under a key, captured, and
cancelled by that key. So one state machine (`machine`) is all four of them; `supplier` serves it
over HTTP, `payer` adds webhooks, `memory` plays it in tests and simulations.
"""
