"""The passive saga monitor rebuilds the state of every order from the topics alone."""
