"""An environment and its rollouts behind the verbs of the protocol. Knows nothing of HTTP."""
