"""Features of clips, a row per second: extracted with a trained model, or published; stored, and read in batches."""
