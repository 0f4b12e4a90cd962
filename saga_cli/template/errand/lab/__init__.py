"""Sagas to run and judge the application with: named in `saga.toml`."""
