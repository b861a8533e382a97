"""Optimisation: Lightning drives the loop, precision and ranks."""
