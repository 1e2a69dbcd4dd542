"""What happens to a model in service: events and labels come in, drift and realised loss come out."""
