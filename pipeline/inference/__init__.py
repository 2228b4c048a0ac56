"""One video of a user's, through a trained model."""
