"""Messages to token ids and back: chat templates, tool calls, the growing ids of a rollout."""
