"""Components of evaluation: measured beside the model in service, and let through or refused."""
