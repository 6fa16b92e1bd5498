"""What becomes of a network when neurons are taken out of it (AND sections 6 and 7)."""
