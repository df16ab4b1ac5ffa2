"""OpenAI's chat completions and responses: requests read, replies written."""
