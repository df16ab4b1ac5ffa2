"""OpenAI's chat completions: requests read, replies written."""
