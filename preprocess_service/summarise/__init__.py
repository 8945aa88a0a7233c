"""Ways to say the same in fewer tokens: by choosing (extractive) and by rewriting (bart)."""
