"""From a prompt to text: the model, its KV cache, and how the next token is chosen."""
