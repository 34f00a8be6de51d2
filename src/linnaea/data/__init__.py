"""What the pictures are: sources, decoding, splits, problems."""
