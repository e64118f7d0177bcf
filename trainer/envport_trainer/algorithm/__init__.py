"""What a step computes, as pure functions: advantages, policy terms, KL, corrections for the sampler."""
