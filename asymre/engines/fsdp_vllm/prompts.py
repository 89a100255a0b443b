"""From the text of a problem to the tokens that a policy reads, and from tokens back to text."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from asymre.model_files import read_object


def load_tokenizer(policy: Path, *, chat: bool) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a policy folder. Raises ValueError if `chat` is set and it has no template."""
    tokenizer = AutoTokenizer.from_pretrained(policy, local_files_only=True)
    if chat and not tokenizer.chat_template:
        raise ValueError(
            "the tokenizer has no chat template: take the instruction-tuned model, or put a "
            "chat_template.jinja into the folder"
        )
    return tokenizer


def end_tokens(policy: Path, of_tokenizer: int | None) -> list[int]:
    """Return the tokens that end a completion. Raises ValueError if there are none.

    Those of generation_config.json or else config.json, and the tokenizer's: a fine-tuned model may end its
    turns with a token that the base model's generation_config.json, which came along, does not have.
    """
    ends = set() if of_tokenizer is None else {of_tokenizer}
    for name in ("generation_config.json", "config.json"):
        if (policy / name).is_file():
            ids = read_object(policy / name).get("eos_token_id")
            if ids is not None:
                ends.update(ids if isinstance(ids, list) else [ids])
                break
    if not ends:
        raise ValueError("no file of the policy names the token that ends a completion (eos_token_id)")
    return sorted(ends)


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, problems: list[str], template: str | None, date: str | None
) -> list[list[int]]:
    """Return the token ids of each problem: of its bare text, or of `template` with it as a user's message.

    template: text with {problem}, wrapped by the model's chat template. date: required with a template; the
    date that a chat template may write, such as 26 Jul 2024.
    """
    if template is None:
        return [tokenizer(problem, add_special_tokens=False)["input_ids"] for problem in problems]
    assert date is not None
    chats = [[{"role": "user", "content": template.replace("{problem}", p)}] for p in problems]
    # Fixes the date in templates: these variables hide transformers' own function, which reads the clock.
    day: dict[str, Any] = {"date_string": date, "strftime_now": datetime.strptime(date, "%d %b %Y").strftime}
    try:
        tokens: Any = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, tokenize=True, return_dict=False, **day
        )
    except TemplateError as error:
        raise ValueError(f"the chat template refuses a user's message ({error}): give another") from None
    return tokens


def decode_completions(
    tokenizer: PreTrainedTokenizerBase, tokens: list[list[int]], template: str | None
) -> list[str]:
    """Return the text of each completion; a stand-in's (no template) keeps its end token, a full stop."""
    return tokenizer.batch_decode(
        tokens, skip_special_tokens=template is not None, clean_up_tokenization_spaces=False
    )
