"""How soon a revision that fails is out of the traffic, and how many users met it: fairway and its
peers, side by side on the test cluster."""
