"""Evaluation of a snapshot: vLLM samples, and a forward pass of transformers measures the entropy.

Shapes: P problems, S samples per problem, R = P * S rows, N generated tokens of all rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from asymre.engines.fsdp_vllm import micro_batches
from asymre.engines.fsdp_vllm.generation import Completion, Request, generate, in_child
from asymre.engines.fsdp_vllm.log_probs import Scorer
from asymre.engines.fsdp_vllm.model import load_model
from asymre.engines.fsdp_vllm.prompts import decode_completions, encode_prompts, end_tokens
from asymre.metrics.evaluation import measure
from asymre.rewards.judge import accepted_by_math_verify, beside_math_verify, judge
from asymre.seeding import integer
from asymre.specs import SnapshotEvaluationSpec

# Nats per token, on average. Rounding to bfloat16 alone causes some hundredths; more means another policy.
LARGEST_MEAN_DIFFERENCE = 0.05


def evaluate_snapshot(
    policy: Path,
    tokenizer,
    problems: dict[str, list[dict[str, Any]]],
    spec: SnapshotEvaluationSpec,
    *,
    device: str,
    tokens_per_micro_batch: int,
    chunk: int,
    engine_options: dict[str, float],
) -> list[dict[str, Any]]:
    """Return a row for each of `EvaluationSpec.drawings`.

    problems: by split, rows with prompt and answer. Besides the measures, each row has the share of answers
    that could not be judged, for real data the accuracy that math-verify finds, and the difference between
    the log-probabilities of vLLM and transformers.
    """
    evaluation, generation = spec.evaluation, spec.generation
    drawings = evaluation.drawings()
    requests = [
        _requests(tokenizer, problems[split], spec, split, samples, temperature, top_p)
        for split, samples, temperature, top_p in drawings
    ]
    size = {
        "max_new_tokens": evaluation.max_new_tokens,
        "dtype": generation.dtype,
        "ends": end_tokens(policy, tokenizer.eos_token_id),
        "device": device,
    }
    everything = [request for part in requests for request in part]
    completions = generate(policy, everything, **size, engine_options=engine_options)
    parts = []
    for part in requests:
        parts.append(list(zip(part, completions, strict=False)))
        completions = completions[len(part) :]
    scores = in_child(_score, policy, parts, generation.dtype, device, tokens_per_micro_batch, chunk)
    tokens = [completion.tokens for part in parts for _, completion in part]
    texts = decode_completions(tokenizer, tokens, generation.prompt)
    golds = [p["answer"] for split, n, *_ in drawings for p in problems[split] for _ in range(n)]
    all_verdicts, all_finals = judge(texts, golds, evaluation.verifier)
    real = evaluation.verifier == "boxed"
    all_accepted = accepted_by_math_verify(texts, golds) if real else []
    rows = []
    for (split, samples, temperature, top_p), part, score in zip(drawings, parts, scores, strict=True):
        own, (entropy, differences) = [completion for _, completion in part], score
        own_texts, texts = texts[: len(own)], texts[len(own) :]
        verdicts, all_verdicts = all_verdicts[: len(own)], all_verdicts[len(own) :]
        finals, all_finals = all_finals[: len(own)], all_finals[len(own) :]
        measured = measure(
            correct_PS=np.array([v == "right" for v in verdicts]).reshape(-1, samples),
            answers_PS=np.array(finals, dtype=object).reshape(-1, samples),
            texts_PS=np.array(own_texts, dtype=object).reshape(-1, samples),
            entropy=entropy,
            length=float(np.mean([len(c.tokens) for c in own])),
            truncated=float(np.mean([c.truncated for c in own])),
        )
        measured |= {f"share_{v}": verdicts.count(v) / len(verdicts) for v in ("unparsable", "timeout")}
        if real:
            accepted, all_accepted = all_accepted[: len(own)], all_accepted[len(own) :]
            measured |= beside_math_verify(verdicts, accepted)
        measured |= differences
        rows.append(
            {"step": spec.step, "split": split, "temperature": temperature, "top_p": top_p} | measured
        )
    return rows


def _requests(tokenizer, problems, spec, split, samples, temperature, top_p) -> list[Request]:
    texts = [p["prompt"] for p in problems]
    prompts = encode_prompts(tokenizer, texts, spec.generation.prompt, spec.generation.prompt_date)
    identity = ("evaluation", spec.evaluation.seed, spec.step, split, f"{temperature:g}")
    return [
        Request(prompt, temperature, top_p, integer(*identity, index, sample))
        for index, prompt in enumerate(prompts)
        for sample in range(samples)
    ]


def _score(
    policy: Path,
    parts: list[list[tuple[Request, Completion]]],
    dtype: str,
    device: str,
    tokens_per_micro_batch: int,
    chunk: int,
) -> list[tuple[float, dict[str, float]]]:
    # The policy's file has this type: nothing is lost, and attention on GPUs is fast in it.
    scorer = Scorer(load_model(policy, getattr(torch, dtype)), chunk).to(device)
    return [_score_rows(scorer, rows, device, tokens_per_micro_batch) for rows in parts]


@torch.no_grad()
def _score_rows(
    scorer: Scorer, rows: list[tuple[Request, Completion]], device: str, tokens_per_micro_batch: int
) -> tuple[float, dict[str, float]]:
    """Return the mean entropy per generated token, and how far log-probabilities are from vLLM's.

    The latter as log_prob_difference (the largest, possibly of a single odd token), its mean (_mean) and its
    99.9 % quantile (_q999).
    """
    lengths = [len(request.prompt) + len(completion.tokens) for request, completion in rows]
    entropy, differences = 0.0, []
    for index in micro_batches.split(lengths, tokens_per_micro_batch, 1)[0]:
        part = [rows[i] for i in index]
        lists = [request.prompt + completion.tokens for request, completion in part]
        ids = torch.zeros(len(part), max(map(len, lists)), dtype=torch.long)
        for row, values in enumerate(lists):
            ids[row, : len(values)] = torch.tensor(values)
        row_N = torch.repeat_interleave(torch.tensor([len(c.tokens) for _, c in part]))
        position_N = torch.cat([len(r.prompt) - 1 + torch.arange(len(c.tokens)) for r, c in part])
        target_N = torch.tensor([t for _, c in part for t in c.tokens])
        log_probs_N, entropy_N = scorer(*(t.to(device) for t in (ids, row_N, position_N, target_N)))
        sampled_N = torch.tensor([p for _, c in part for p in c.log_probs])
        differences.append((log_probs_N.cpu() - sampled_N).abs().numpy())
        entropy += entropy_N.double().sum().item()
    all_N = np.concatenate(differences)
    found = {"": all_N.max(), "_mean": all_N.mean(), "_q999": np.quantile(all_N, 0.999)}
    if found["_mean"] > LARGEST_MEAN_DIFFERENCE:
        print(
            f"warning: log-probabilities of vLLM and transformers differ by {found['_mean']:.3f} nats: "
            "ratios (GRPO, TIS, TOPR) contain that difference; compare dtype and versions of both",
            flush=True,
        )
    return entropy / len(all_N), {f"log_prob_difference{name}": float(d) for name, d in found.items()}
