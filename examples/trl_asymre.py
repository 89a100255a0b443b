"""AsymRE (arXiv 2506.20520, Eq. 4) in TRL's GRPOTrainer: off-policy REINFORCE with a shifted baseline.

accelerate launch examples/trl_asymre.py        (trl 1.16; limitations: docs/in_your_trainer.md)
"""

import re
from decimal import Decimal

import torch
from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer


class AsymRETrainer(GRPOTrainer):
    """GRPOTrainer whose loss is -(r - V_mu - delta_v) log pi, a sum over tokens, without importance weights.

    delta_v is in units of the reward. V_mu is the mean reward of a prompt's completions. The behaviour policy
    mu is refreshed every `steps_per_generation / gradient_accumulation_steps` gradient steps: the paper's N.
    tapered: whether negative advantages weigh min(pi/mu, 1) of the whole completion (TOPR's taper,
    arXiv 2503.14286; asymre_tapered in docs/objectives.md).
    """

    def __init__(self, *arguments, delta_v: float, tapered: bool = False, **more):
        super().__init__(*arguments, **more)
        self.delta_v, self.tapered = delta_v, tapered
        # Any other value would silently change the algorithm.
        for name, needed in (("scale_rewards", "none"), ("beta", 0.0), ("num_iterations", 1)):
            if getattr(self.args, name) != needed:
                raise ValueError(f"AsymRE: set {name}={needed!r}, not {getattr(self.args, name)!r}")

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the loss, a scalar: the mean over completions of the sum over their tokens (Eq. 4)."""
        mask_BT = inputs["completion_mask"]
        ids_BL, all_BL = (
            torch.cat([inputs[f"prompt_{kind}"], inputs[f"completion_{kind}"]], dim=1)
            for kind in ("ids", "mask")
        )
        log_probs_BT, _, _ = self._get_per_token_logps_and_entropies(model, ids_BL, all_BL, mask_BT.shape[1])
        # TRL's advantages are r - V_mu. Groups with equal rewards keep -delta_v, as the algorithm requires.
        advantages_B = inputs["advantages"] - self.delta_v
        # TRL keeps log mu where mu is older than a step.
        behaviour_BT = inputs.get("old_per_token_logps")
        if self.tapered and behaviour_BT is not None:
            ratios_B = ((log_probs_BT.detach() - behaviour_BT) * mask_BT).sum(1).exp()
            advantages_B = torch.where(advantages_B < 0, ratios_B.clamp(max=1), 1) * advantages_B
        losses_B = -(advantages_B[:, None] * log_probs_BT * mask_BT).sum(1)
        return losses_B.mean() / self.current_gradient_accumulation_steps


# Not -18 in 5-18.
_NUMBER = re.compile(r"(?:(?<![0-9.])-)?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")


def last_number(text):
    """Return the last number of a text, None if there is none: 1200 of `in all $1,200.00`."""
    found = _NUMBER.findall(text)
    return Decimal(re.sub("[$,]", "", found[-1])) if found else None


def reward(completions, answer, **_):
    """Return +1 for a completion whose last number is the answer, which follows ####, otherwise -1."""
    ends = [last_number(completion[-1]["content"]) for completion in completions]
    golds = [last_number(text.rpartition("####")[2]) for text in answer]
    return [1.0 if end is not None and end == gold else -1.0 for end, gold in zip(ends, golds, strict=True)]


def main() -> None:
    """Train Qwen2.5-0.5B-Instruct on GSM8K: 16 prompts x 8 completions per step, mu refreshed every 250."""
    problems = load_dataset("openai/gsm8k", "main", split="train")
    problems = problems.map(lambda row: {"prompt": [{"role": "user", "content": row["question"]}]})
    config = GRPOConfig(
        output_dir="trl_asymre",
        num_generations=8,
        per_device_train_batch_size=128,  # completions: 16 prompts
        steps_per_generation=250,  # N
        max_steps=1000,
        max_completion_length=512,
        learning_rate=1e-6,  # not tuned
        lr_scheduler_type="constant",
        temperature=1.0,
        scale_rewards="none",
        beta=0.0,
    )
    trainer = AsymRETrainer(
        model="Qwen/Qwen2.5-0.5B-Instruct",
        args=config,
        reward_funcs=reward,
        train_dataset=problems,
        delta_v=-0.1,
    )
    trainer.train()


if __name__ == "__main__":
    main()
