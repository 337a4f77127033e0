"""Live audio: from a microphone, a pipe or a file to events, while it comes."""
