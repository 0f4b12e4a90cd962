"""Runs alternatives to the platform on the same work and servers. See benchmarks/README.md."""
