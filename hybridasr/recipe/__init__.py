"""Recipes: their configuration, their stages and the runner."""
