"""Target networks: one module a family, found by the registry."""
