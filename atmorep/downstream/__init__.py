"""Downstream tasks: a pretrained model with a head of its own predicts a target on its grid."""
