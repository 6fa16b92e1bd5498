"""What a network as a whole does: words by depth, clusters of captions, interpretability, acoustics (AND sections 5, 8
and 9)."""
