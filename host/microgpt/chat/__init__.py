"""Chat: a conversation with a model, and the prompt at a terminal."""
