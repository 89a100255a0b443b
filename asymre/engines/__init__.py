"""The engines that sample, train and evaluate: local in one process, fsdp_vllm on GPUs."""
