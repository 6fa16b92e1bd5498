"""Tuning of neurons: stimuli whose every parameter is known, what neurons answer to them, and statistics of it."""
