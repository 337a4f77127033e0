"""Language models and grammars: which word sequences are allowed, and how likely they are."""
