"""Figures in place of files: what is drawn is looked at as data."""

import importlib

import pytest


@pytest.fixture
def figures(monkeypatch):
    """Return a function: for a module of `plots`, the list in which its figures turn up."""
    pytest.importorskip("matplotlib")
    kept = []

    def of(module):
        monkeypatch.setattr(importlib.import_module(f"hybridasr.plots.{module}"), "save",
                            lambda figure, path: kept.append(figure))
        return kept

    yield of
    from matplotlib import pyplot

    for figure in kept:
        pyplot.close(figure)
