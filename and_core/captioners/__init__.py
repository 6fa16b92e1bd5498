"""Captioners: one module a captioner, found by the registry."""
