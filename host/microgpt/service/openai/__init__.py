"""The routes that clients of OpenAI's API know: models, chat/completions, completions."""
