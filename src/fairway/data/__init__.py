"""From a source of rows to a prepared dataset: read, check, split, fit the preprocessing, look for
leaks."""
