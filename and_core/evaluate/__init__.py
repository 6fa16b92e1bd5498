"""Is an explanation any good? Scores on clips it was not made from, sanity checks of the scores, planted neurons,
confidence."""
