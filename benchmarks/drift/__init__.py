"""Drift under a budget beside what is used otherwise: false tickets, delays, and the speed of a
permutation test."""
