"""How the embedded BART is made: text that a grammar writes, a tokenizer, a model, its training. Never imported by the service."""
