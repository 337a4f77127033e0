"""Figures of a model: error rates, accepting and rejecting, calibration, tuning."""
