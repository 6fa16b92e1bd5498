"""Listening to a decision, and to a neuron: sounds that are parts of a sound."""
