"""The `saga` command."""
