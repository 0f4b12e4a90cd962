"""Everything outside the saga, on one machine: the embedded stack and the outside world."""
