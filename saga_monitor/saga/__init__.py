"""A saga as the monitor sees it: facts, plan, interpretation, deadlines, commands. Pure.

Every package of the monitor imports it; it imports none of them.
"""
