"""Components of data: brought from where it lies, and prepared."""
