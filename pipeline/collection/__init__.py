"""What there is: a folder, a prefix, a table or a published list -> videos, in parts."""
