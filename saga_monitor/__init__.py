"""The passive saga monitor rebuilds the state of every saga from the topics alone."""
