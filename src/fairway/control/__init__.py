"""What every controller does at each look, whatever the platform: read the evidence, count each
unit once, call hooks.

And the Platform port.
"""
