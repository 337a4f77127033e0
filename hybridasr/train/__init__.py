"""Trainers: each reads directories and writes one model directory."""
