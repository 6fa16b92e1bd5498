"""What a neuron does to the decision: pushes, dials, and what drives it."""
