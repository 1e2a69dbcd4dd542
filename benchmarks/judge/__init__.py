"""The judge beside its peers, on simulated rollouts: how often each rolls back a healthy revision,
and what a bad one costs."""
