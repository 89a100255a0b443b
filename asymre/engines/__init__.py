"""What computes: engine local in one process, engine fsdp_vllm on GPUs."""
