"""Engine fsdp_vllm: training with transformers and FSDP2, sampling and evaluation with vLLM."""
