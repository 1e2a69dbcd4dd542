"""Labels that are asked for: which requests to label, and how good answers are by the labels that come
back. It estimates; nothing here opens an alert."""
