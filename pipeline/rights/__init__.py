"""Whether a video may be used for training: what collections, headers and media files say of it."""
