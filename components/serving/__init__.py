"""Components of serving, without a server."""
