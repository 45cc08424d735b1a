"""The conversation: the same commands and the same words on every channel."""
