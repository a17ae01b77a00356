"""What each vendor and family of models takes of a request in OpenAI's words: data, and how it is applied."""
