"""Reelgate: what both services and every client import."""
