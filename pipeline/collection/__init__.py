"""The videos: a folder, a prefix, a table or a published list -> rows of videos, in parts."""
