"""What every controller does at each look, whatever the platform: read the evidence, count each unit once, call hooks; and the Platform port."""
