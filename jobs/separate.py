"""One video in, the same video with only its on-screen or off-screen sound out."""
