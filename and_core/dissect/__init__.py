"""The method: similarity, summaries, calibration, concepts, words. Arrays and records in, arrays and records out."""
