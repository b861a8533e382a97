"""Tests of atmorep.evaluation."""
