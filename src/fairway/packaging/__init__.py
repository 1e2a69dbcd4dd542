"""The model package: a content-addressed directory that a server can verify, load and prove itself
with."""
