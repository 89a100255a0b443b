"""The same work in other libraries: TRL's GRPOTrainer, transformers' model (`make setup-peers`)."""

from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer


def trainer(folder: Path, prompts: list[str], *, group: int, new_tokens: int, steps: int = 1, **more):
    """Return TRL's trainer for a policy folder; an on-policy step has `group` completions of every prompt."""
    settings = {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": len(prompts) * group,
        "num_generations": group,
        "max_completion_length": new_tokens,
        "max_steps": steps,
        "loss_type": "dr_grpo",
        "beta": 0.0,
        "temperature": 1.0,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    return GRPOTrainer(
        model=model(folder),
        args=GRPOConfig(**settings | more),
        reward_funcs=lambda completions, **_: [float(len(text) % 2) for text in completions],
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
    )


def model(folder: Path) -> torch.nn.Module:
    """Return transformers' float32 model of a policy folder."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def generate(model: torch.nn.Module, prompts_PL: torch.Tensor, *, group: int, new_tokens: int, end: int):
    """Sample completions [P * G, T] with transformers at temperature 1; also return logits [P * G, T, V]."""
    with torch.no_grad():
        made = model.generate(
            prompts_PL.repeat_interleave(group, dim=0),
            attention_mask=torch.ones(len(prompts_PL) * group, prompts_PL.shape[1], dtype=torch.long),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=new_tokens,
            eos_token_id=end,
            pad_token_id=end,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return made.sequences[:, prompts_PL.shape[1] :], torch.stack(made.logits, dim=1)
