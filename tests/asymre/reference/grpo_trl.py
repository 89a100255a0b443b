"""Values of TRL's GRPO on made-up rollouts, stored in grpo_trl.json for test_objectives.py.

A real GRPOTrainer (beta = 0, epsilon = 0.2) is built on a Llama of a few hundred random weights.
Its own code turns rewards into advantages (`_generate_and_score_completions`) and log-probabilities
into the loss (`compute_loss`). Only the two ends of a language model are replaced by numbers drawn
here: the sampling (a rollout function) and the log-probabilities of the policy, a float64 leaf, so
that ratios can be put on either side of both clip bounds and the gradient read off.

Run once, from the root of the repository, in an environment of its own (the project's has no TRL):

    python3 -m venv ../trl
    ../trl/bin/pip install torch==2.13.0 transformers==5.19.0 trl==1.16.0
    ../trl/bin/python tests/reference/grpo_trl.py
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models

VOCABULARY = {"<pad>": 0, "<eos>": 1, "a": 2, "b": 3}
CLIP = 0.2
MAX_COMPLETION_LENGTH = 16

# Lengths count the closing <eos>; a truncated completion has none and TRL masks all its tokens.
# spread: standard deviation of log pi - log mu; log(1.2) is 0.18, so 1.0 clips most tokens.
CASES = {
    "ragged, one group without variance": {
        "rewards_PG": [[1, -1, -1, 1], [-1, 1, -1, -1], [-1, -1, -1, -1]],
        "lengths": [3, 7, 1, 5, 2, 2, 6, 4, 7, 1, 3, 5],
        "truncated": [],
        "spread": 0.2,
    },
    "ratios far beyond both clip bounds": {
        "rewards_PG": [[1, 0, 0, 1, 1, 0, 1, 1], [0, 0, 1, 0, 0, 0, 0, 0]],
        "lengths": [4, 6, 5, 6, 2, 3, 1, 6, 4, 4, 6, 5, 2, 1, 3, 6],
        "truncated": [],
        "spread": 1.0,
    },
    "sequences without a token, rewards between": {
        "rewards_PG": [[0.1, 0.35, 0.7], [1.0, 0.2, 0.25]],
        "lengths": [5, 3, 4, 2, 5, 1],
        "truncated": [1, 4],
        "spread": 0.3,
    },
}


def make_trainer(completions: list[list[int]], rewards_B: list[float], samples: int, loss: str):
    """A GRPOTrainer whose rollouts are `completions`, rewarded with `rewards_B`."""
    config = transformers.LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        pad_token_id=0,
        eos_token_id=1,
    )
    return trl.GRPOTrainer(
        model=transformers.LlamaForCausalLM(config),
        reward_funcs=lambda **_: rewards_B,
        rollout_func=lambda prompts, trainer: {
            "prompt_ids": [[2] for _ in prompts],
            "completion_ids": completions,
            "logprobs": None,
        },
        args=trl.GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=len(completions),
            num_generations=samples,
            max_completion_length=MAX_COMPLETION_LENGTH,
            mask_truncated_completions=True,
            beta=0.0,
            epsilon=CLIP,
            loss_type=loss,
            use_cpu=True,
            bf16=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a"]}),
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(VOCABULARY, unk_token="a")),
            pad_token="<pad>",
            eos_token="<eos>",
        ),
    )


def run_case(case: dict, generator: torch.Generator) -> dict:
    """Inputs and TRL's outputs of one case, as lists."""
    rewards_B = [float(reward) for group in case["rewards_PG"] for reward in group]
    completions = [
        [3] * (length - 1) + [3 if row in case["truncated"] else VOCABULARY["<eos>"]]
        for row, length in enumerate(case["lengths"])
    ]
    shape = (len(completions), max(case["lengths"]))
    # Far enough below 0 that log pi stays negative.
    behaviour_BT = -4 - 3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    shift_BT = case["spread"] * torch.randn(shape, generator=generator, dtype=torch.float64)
    log_probs_BT = behaviour_BT + shift_BT

    losses = {}
    for loss_type in ("grpo", "bnpo", "dr_grpo"):
        trainer = make_trainer(completions, rewards_B, len(case["rewards_PG"][0]), loss_type)
        # Set by the training loop, which is not run here.
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        batch = trainer._generate_and_score_completions([{"prompt": "a"} for _ in completions])
        batch["old_per_token_logps"] = behaviour_BT
        leaf_BT = log_probs_BT.clone().requires_grad_()
        trainer._get_per_token_logps_and_entropies = lambda *_, leaf_BT=leaf_BT, **__: (
            leaf_BT,
            torch.zeros_like(leaf_BT),
            None,
        )
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        losses[loss_type] = {"loss": loss.item(), "gradient_BT": leaf_BT.grad.tolist()}
    return {
        "rewards_PG": case["rewards_PG"],
        "advantages_B": batch["advantages"].tolist(),
        "mask_BT": batch["completion_mask"].tolist(),
        "behaviour_log_probs_BT": behaviour_BT.tolist(),
        "log_probs_BT": log_probs_BT.tolist(),
        "trl": losses,
    }


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    stored = {
        "versions": {
            "trl": trl.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        },
        "clip": CLIP,
        "max_completion_length": MAX_COMPLETION_LENGTH,
        "cases": {name: run_case(case, generator) for name, case in CASES.items()},
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
