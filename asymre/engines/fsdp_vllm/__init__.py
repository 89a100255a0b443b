"""Engine fsdp_vllm: transformers and FSDP2 train, vLLM samples and evaluates."""
