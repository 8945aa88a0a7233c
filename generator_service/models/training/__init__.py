"""Trains the embedded model from nothing: a procedural world, its captions, a VAE, a text encoder and two experts."""
