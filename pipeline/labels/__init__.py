"""What people say of clips -> one label per clip."""
