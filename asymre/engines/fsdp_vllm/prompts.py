"""From the text of a problem to the tokens that a policy reads, and from tokens back to text."""

from datetime import datetime
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_tokenizer(policy: Path, *, chat: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a policy folder. ValueError if it lacks the chat template that it needs."""
    tokenizer = AutoTokenizer.from_pretrained(policy, local_files_only=True)
    if chat and not tokenizer.chat_template:
        raise ValueError(
            "the tokenizer has no chat template: take the instruction-tuned model, or put a "
            "chat_template.jinja into the folder"
        )
    return tokenizer


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, problems: list[str], template: str | None, date: str | None
) -> list[list[int]]:
    """Token ids of each problem: as it stands, or put into `template` as a user's message.

    template: text with {problem}; the model's own chat template goes around it. date: with a template, the
    day that a chat template may write, such as 26 Jul 2024.
    """
    if template is None:
        return [tokenizer(problem, add_special_tokens=False)["input_ids"] for problem in problems]
    assert date is not None
    chats = [[{"role": "user", "content": template.replace("{problem}", p)}] for p in problems]
    # All that templates know of the day: a variable hides transformers' own function, which asks the clock.
    day: dict[str, Any] = {"date_string": date, "strftime_now": datetime.strptime(date, "%d %b %Y").strftime}
    tokens: Any = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, tokenize=True, return_dict=False, **day
    )
    return tokens


def decode_completions(
    tokenizer: PreTrainedTokenizerBase, tokens: list[list[int]], template: str | None
) -> list[str]:
    """The text of each completion; that of a stand-in (no template) with its end, which is a full stop."""
    return tokenizer.batch_decode(
        tokens, skip_special_tokens=template is not None, clean_up_tokenization_spaces=False
    )
