"""Real problem sets, from the Hugging Face hub or a local folder, as one table with text answers.

Files are Parquet or JSON lines. The revision of a folder is `files_hash` of its files.
"""

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asymre.content import files_hash
from asymre.io import read_parquet
from asymre.rewards.boxed import last_boxed
from asymre.specs import SourceSpec

# prompt: the problem alone, without instructions. answer: the content of the box. source: for people.
SCHEMA = pa.schema(
    [("problem_id", pa.int64()), ("prompt", pa.string()), ("answer", pa.string()), ("source", pa.string())]
)


def source_files(source: SourceSpec) -> list[Path]:
    """Return the files of a source on this machine, downloaded if necessary; ValueError if that fails."""
    if source.folder is None:
        assert source.hub
        return [_hub_file(source.hub, source.revision, name) for name in source.files]
    if files_hash(Path(source.folder), source.files) != source.revision:
        raise ValueError(f"{source.folder}: its files changed since this job was planned; run again")
    return [Path(source.folder) / name for name in source.files]


def _hub_file(repo: str, revision: str, name: str) -> Path:
    from huggingface_hub import errors, hf_hub_download

    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise ValueError(
            f"data set {repo}: revision is {revision!r}; write the 40 digits of the commit that you want, "
            "from its page on the hub, as its revision (data.* in config/scale/gpu.yaml)"
        )
    page = f"https://huggingface.co/datasets/{repo}"
    try:
        return Path(hf_hub_download(repo, name, repo_type="dataset", revision=revision))
    except errors.GatedRepoError:
        raise ValueError(
            f"data set {repo} is gated: accept its conditions at {page}, then log in with hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"data set {repo}: not found at {page}; check the id, or log in with hf auth login if private"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"data set {repo}: no revision {revision}; see {page}/commits/main") from None
    except errors.RemoteEntryNotFoundError:
        raise ValueError(
            f"data set {repo}: no file {name} in revision {revision}; see {page}/tree/main"
        ) from None
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"data set {repo}: {name} cannot be downloaded ({reason}): check the connection, or fetch it "
            f"elsewhere (hf download {repo} --repo-type dataset --revision {revision}) and give a folder"
        ) from None


# First bytes of compressed files, and what unpacks them.
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\xfd7zXZ": "unxz",
    b"BZh": "bunzip2",
    b"PK\x03\x04": "unzip",
}


def read_file(path: Path) -> pa.Table:
    """Return all columns of a Parquet file, or of JSON lines; ValueError if it is neither.

    JSON's numbers stay text, as written, because they may be of any length; NaN and Infinity are missing
    values. A byte order mark and blank lines are skipped.
    """
    with open(path, "rb") as file:
        start = file.read(6)
    if path.suffix.lower() == ".parquet" or start.startswith(b"PAR1"):
        try:
            return read_parquet(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path}: not a Parquet file ({error}); get it again") from None
    for first, command in _COMPRESSED.items():
        if start.startswith(first):
            raise ValueError(
                f"{path}: a compressed file; unpack it ({command}) into a local folder, and name that folder "
                "and the unpacked file"
            )
    if start == b"versio":
        raise ValueError(f"{path}: a pointer of Git LFS; get the file itself (git lfs pull, or hf download)")
    rows = _json_lines(path)
    if not rows:
        raise ValueError(f"{path}: an empty file; get it again")
    try:
        # Not from_pylist, which takes the columns of the first row alone.
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: a text has half a surrogate pair ({error}); write it anew") from None
    except pa.ArrowException as error:
        raise ValueError(
            f"{path}: the values of a column differ in type ({_mixed(rows) or error}): write one type, or "
            "leave the column out"
        ) from None


def _json_lines(path: Path) -> list[dict]:
    rows = []
    with open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                if not rows and line.lstrip().startswith("["):
                    raise ValueError(
                        f"{path}: a JSON array; write one object per line: jq -c '.[]' FILE > FILE.jsonl"
                    )
                rows.append(_json_object(line, f"{path}: line {number} is no JSON object"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 ({error}); convert it") from None
    return rows


def _json_object(line: str, what: str) -> dict:
    try:
        value = json.loads(
            line,
            parse_int=str,
            parse_float=str,
            parse_constant=lambda _: None,
            object_pairs_hook=_without_duplicates,
        )
    except _Duplicate as error:
        raise ValueError(f"{what} with one value a key: {error} is given twice; leave one") from None
    except json.JSONDecodeError as error:
        remedy = "write one object per line"
        if "escape" in error.msg:
            remedy = r"write LaTeX's backslashes twice, \\sqrt, as json.dumps does"
        raise ValueError(f"{what} ({error.msg}, character {error.pos + 1}): {remedy}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} but {_kind(value)}: write one object per line")
    return value


class _Duplicate(Exception):
    """A key of a JSON object that is given twice: readers differ in which value they take."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            raise _Duplicate(repr(key))
    return dict(pairs)


def _kind(value: Any) -> str:
    """Return what a value is, for people."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list) and value and isinstance(value[0], dict) and "content" in value[0]:
        return "a list of chat messages"
    names = {str: "text", bool: "true or false", list: "a list", dict: "an object"}
    names |= dict.fromkeys((int, float, Decimal), "a number")
    return names.get(type(value), f"a value of type {type(value).__name__}")


def _mixed(rows: list[dict]) -> str:
    """Return the first column with values of two kinds, and where they are; empty if only parts differ."""
    for name in dict.fromkeys(name for row in rows for name in row):
        first: dict[str, int] = {}
        for number, row in enumerate(rows, start=1):
            if row.get(name) is not None:
                first.setdefault(_kind(row[name]), number)
        if len(first) > 1:
            return f"{name}: " + ", ".join(f"{kind} in row {number}" for kind, number in first.items())
    return ""


def column(table: pa.Table, name: str, path: Path) -> list:
    """Return the values of a column; ValueError with the nearest name if there is none."""
    if table.column_names.count(name) > 1:
        raise ValueError(f"{path}: {table.column_names.count(name)} columns {name!r}; leave one")
    if name in table.column_names:
        values = table[name]
        if pa.types.is_float32(values.type):
            # The shortest text of a float32: as float64, .1 is 0.10000000149011612.
            values = values.cast(pa.string()).cast(pa.float64())
        try:
            return values.to_pylist()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: column {name!r} is not UTF-8 ({error}); convert it") from None
    near = difflib.get_close_matches(name, table.column_names, n=1, cutoff=0.0)
    nearest = f"; the nearest is {near[0]!r}" if near else ""
    raise ValueError(f"{path}: no column {name!r}{nearest} (it has: {', '.join(table.column_names)})")


def texts(table: pa.Table, name: str, path: Path) -> list[str | None]:
    """Return a column as text, numbers as they are written; ValueError for lists, objects, booleans, NaN."""
    values = column(table, name, path)
    kinds = [None if value is None else _kind(value) for value in values]
    reasons = [None if kind in (None, "text", "a number") else f"{kind} as {name}" for kind in kinds]
    _refuse(path, reasons, "give text or a number")
    return [None if value is None else str(value) for value in values]


# A command of LaTeX whose backslash and first letter JSON read as one control character.
_EATEN = re.compile(
    r"\f(?=rac|orall|box|lat|rown)|[\b](?=[a-zA-Z])|\r(?=ight)"
    r"|\t(?=ext[a-z]*\{|imes|heta|frac|binom|riangle|herefore|ilde)"
)


def eaten_latex(text: str | None) -> bool:
    r"""Whether JSON's escapes ate LaTeX's: `"\frac"` with a single backslash is a form feed before `rac`."""
    return bool(text and _EATEN.search(text))


def _refuse(path: Path, reasons: list[str | None], remedy: str) -> None:
    """Raise ValueError with the number of rows for each reason, and the first of them, if there is any."""
    counts = Counter(filter(None, reasons))
    if counts:
        first = next(row for row, reason in enumerate(reasons, start=1) if reason)
        listed = "; ".join(
            f"{count} of {len(reasons)} rows have {reason}" for reason, count in counts.items()
        )
        raise ValueError(f"{path}: {listed}, the first is row {first}: {remedy}")


def read_math(paths: list[Path]) -> pa.Table:
    r"""Return problems from files in MATH's format: problem, and answer or else solution (its last box).

    Columns prompt, answer and source (unique_id, or file and row). ValueError if one is missing.
    """

    def answers(table: pa.Table, path: Path) -> list[str | None]:
        if "answer" in table.column_names:
            return texts(table, "answer", path)
        return [last_boxed(solution or "") for solution in texts(table, "solution", path)]

    remedy = "an answer, or a solution with a closed \\boxed{}"
    return pa.concat_tables(_problems(path, "problem", answers, remedy) for path in paths)


def read_gsm8k(paths: list[Path]) -> pa.Table:
    """Return problems from files in GSM8K's format: question, and answer, a solution ending in `#### 1,200`.

    The final answer is what follows the last #### on its line, without commas and without calculator
    annotations (`<<48/2=24>>`); a #### without a digit behind it is none. Columns and errors as in
    `read_math`.
    """

    def answers(table: pa.Table, path: Path) -> list[str | None]:
        return [_after_marks(solution or "") for solution in texts(table, "answer", path)]

    remedy = "an answer that ends in #### and a number"
    return pa.concat_tables(_problems(path, "question", answers, remedy) for path in paths)


READERS = {"math": read_math, "gsm8k": read_gsm8k}
_MARKED = re.compile(r"####((?:(?!####).)*)")


def _after_marks(solution: str) -> str | None:
    marked = [re.sub("<<.*?>>", "", part).replace(",", "") for part in _MARKED.findall(solution)]
    return next((part for part in reversed(marked) if re.search("[0-9]", part)), None)


def _problems(path: Path, prompt: str, answers_of: Callable, remedy: str) -> pa.Table:
    table = read_file(path)
    for name in (prompt, "answer" if "answer" in table.column_names else "solution"):
        reasons = [
            f"a control character in {name} for the start of a LaTeX command" if eaten_latex(text) else None
            for text in texts(table, name, path)
        ]
        _refuse(path, reasons, r"write LaTeX's backslashes twice in JSON, \\frac, as json.dumps does")
    prompts, answers = texts(table, prompt, path), answers_of(table, path)
    empty = [None if text and text.strip() else f"no {prompt}" for text in prompts]
    _refuse(path, empty, "each needs one")
    missing = [None if answer and answer.strip() else "no final answer" for answer in answers]
    _refuse(path, missing, f"each needs {remedy}")
    if "unique_id" in table.column_names:
        # In another file they may be numbers.
        sources = list(map(str, column(table, "unique_id", path)))
    else:
        sources = [f"{path.name}:{row}" for row in range(1, len(prompts) + 1)]
    answers = [answer.strip() for answer in answers]
    columns = [pa.array(values, pa.string()) for values in (prompts, answers, sources)]
    return pa.table(columns, names=["prompt", "answer", "source"])


def choose(table: pa.Table, count: int, rng: np.random.Generator, what: str) -> pa.Table:
    """Return `count` rows drawn without replacement, as `SCHEMA`, in random order: a prefix is a sample too.

    ValueError, which names `what` these problems are, if there are fewer.
    """
    if count > table.num_rows:
        raise ValueError(f"{count} {what} problems are asked for, there are {table.num_rows}: ask for fewer")
    rows = rng.permutation(table.num_rows)[:count]
    numbered = table.take(pa.array(rows)).add_column(0, "problem_id", pa.array(range(count), pa.int64()))
    return numbered.select(SCHEMA.names).cast(SCHEMA)
