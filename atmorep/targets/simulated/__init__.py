"""Targets made from the simulated atmosphere, with detail that it lacks; see the modules for how.

What is known of a target (its relation to the coarse state, the relief, the hour of the day) can be
learnt; the rest is drawn at random, and only an ensemble can tell of it. Random fields are functions of
seed and hour, so that a month can be made without another, and anew.
"""

from atmorep.targets.simulated.source import Simulated

__all__ = ["Simulated"]
