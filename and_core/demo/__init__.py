"""The embedded default: sound corpus, small target networks and their training."""
