"""Deployment: a model as one file, and a server."""
