"""The order saga's services. Each is one folder of decisions on the kit; none imports another."""
