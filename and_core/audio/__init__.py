"""Sound itself: decoding, measures, front ends, what the dashboard plays and shows."""
