"""One module per task: conventions first, then validation, then one function per metric."""
