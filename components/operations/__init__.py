"""Components for those who run pipelines: what became of a run is told."""
