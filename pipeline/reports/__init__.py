"""Rows -> SQL answers, figures, charts and a page."""
