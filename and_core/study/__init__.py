"""Human studies: rating sessions, their storage, and what the answers say."""
