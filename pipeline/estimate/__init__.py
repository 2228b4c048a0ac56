"""An estimate of the work of cutting a collection, and the measured usage of each part."""
