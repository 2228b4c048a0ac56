"""A trained model applied to one video of a user's."""
