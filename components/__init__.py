"""Kubeflow Pipelines components: each a decorator and a few lines that call one stage of fairway.

Nothing is installed at run time (`install_kfp_package=False`): the image has it. The configuration
travels as one JSON string, because kfp turns the whole numbers inside lists and maps into
fractions.
"""

IMAGE = "ghcr.io/fairway/pipeline:0.1.0"
