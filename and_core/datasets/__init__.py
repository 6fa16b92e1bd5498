"""Probing datasets: one module a dataset, found by the registry."""
