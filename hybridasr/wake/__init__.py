"""Wake words: a cheap first stage that always listens, and the full model that confirms."""
