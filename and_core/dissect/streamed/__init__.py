"""Statistics of neurons over more clips than activations are kept of: made block by block, and merged."""
