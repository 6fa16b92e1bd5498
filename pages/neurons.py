"""The Neurons page: one neuron, seen and heard, with all that is said of it."""

from pages.ui.neurons import page

page()
