"""The contract between the stages: what rows look like, how they are read, and what a model
answers. numpy only."""
