"""The language model that writes stories: any local server with OpenAI's chat API, or one that answers with a story."""
