"""The dashboard: pages under `/ui`, made on the server.

Imports `operations` and below; only `saga_monitor.service` imports it.

| module | what it does |
|---|---|
| `routes` | collects the routes of all pages |
| `site` | renders a page, with the headers of its security |
| `assets` | serves styles and scripts under names with their hash |
| `text` | what templates do with texts and times |
| `live` | tells open pages what has changed |
| `flow_drawing`, `timeline_drawing` | lay out the pictures; templates draw them |
| `pages` | one module a page |
"""
