"""This package holds the order saga's services. Each builds on sagakit; none imports another."""
