"""Language models: one module a kind, found by the registry."""
