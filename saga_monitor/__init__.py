"""The passive saga monitor: sees every order from the topics alone, and the `saga` command."""
