"""Networks that no library brings, written from their publications.

Plain torch modules that know nothing of this project.
"""
