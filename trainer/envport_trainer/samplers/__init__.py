"""Where completions come from: transformers or vLLM."""
