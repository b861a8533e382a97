"""Evaluation: zero-shot tasks scored on the test periods against baselines, with intervals."""
