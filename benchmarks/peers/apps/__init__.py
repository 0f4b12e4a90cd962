"""Programs of the peers. They run in an environment of their own (`benchmarks.peers.environment`)
and import nothing of this project but each other."""
