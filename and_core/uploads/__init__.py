"""A user's own sound: decoded, passed through the network, compared with the probing clips."""
