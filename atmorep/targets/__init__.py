"""Targets of downstream tasks and static fields: from the files as delivered to the evaluation grid."""
