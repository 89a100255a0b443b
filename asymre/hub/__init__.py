"""Engine hub: transformers and FSDP2 train, vLLM samples and evaluates."""
