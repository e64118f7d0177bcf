"""From a batch to new weights: packing, attention over what is packed, logprobs, the optimizer's step."""
