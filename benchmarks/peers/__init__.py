"""What one could use instead, doing the same work on the same servers. See README.md above."""
