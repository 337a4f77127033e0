"""Owns networks that give labels with no alignment of frames: CTC, and the transducer."""
