"""Features: from samples to the float32 matrices that acoustic models take."""
