"""Networks that no library brings, written from their publications; plain torch modules that know nothing of this project."""
