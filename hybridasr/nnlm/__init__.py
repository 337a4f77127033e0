"""Neural language models: words to classes, the network, its training, its directory."""
