"""Published weights: checkpoints of the original AtmoRep become bundles (docs/published-weights.md)."""
