"""Components of packaging."""
