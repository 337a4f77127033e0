"""Owns what leaves the program for other programs and for people: CTM, TextGrid, reports."""
