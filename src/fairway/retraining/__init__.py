"""When a new model is trained, and how its run is started."""
