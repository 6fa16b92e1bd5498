"""Two vocabularies: the classes that a network knows, and the labels that a collection of clips has."""
