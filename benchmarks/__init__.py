"""What the platform costs, measured beside what else one could use. See README.md here."""
