"""Chat: a session with a model, and the prompt at the terminal."""
