"""Pages to look at: one utterance on its way through a model, one run of a recipe."""
