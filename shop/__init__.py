"""The order application's part of the lab: what its `saga.toml` names besides its services.

Only benchmarks and tests import this package; the lab and the command line find it by the manifest.
"""
