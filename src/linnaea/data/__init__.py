"""What the pictures are: sources, decoding, parts, problems."""
