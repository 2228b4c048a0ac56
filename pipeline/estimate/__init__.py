"""What cutting will take, from a sample, and what each part took."""
