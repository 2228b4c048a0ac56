"""Masks of what sounds in a picture: read from a user's folder, stored, and read with the clips that they are of."""
