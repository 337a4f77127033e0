"""Recognition of recordings: sessions, results, voice activity."""
