"""Real problem sets, from the Hugging Face hub or a local folder, as one table with text answers.

Files are Parquet or JSON lines. The revision of a folder is `files_hash` of its files.
"""

import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path

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


def read_file(path: Path) -> pa.Table:
    """Return all columns of a Parquet file, or of JSON lines; ValueError if it is neither.

    JSON's numbers stay text, as written, because they may be of any length.
    """
    if path.suffix == ".parquet":
        try:
            return read_parquet(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path}: not a Parquet file ({error}); get it again") from None
    rows = []
    with open(path, encoding="utf-8") as file:
        try:
            for line in file:
                rows.append({**json.loads(line, parse_int=str, parse_float=str)})
        except (ValueError, TypeError):
            raise ValueError(f"{path}: line {len(rows) + 1} is no JSON object") from None
    try:
        return pa.Table.from_pylist(rows)
    except pa.ArrowException as error:
        raise ValueError(f"{path}: the values of a column differ in type ({error})") from None


def column(table: pa.Table, name: str, path: Path) -> list:
    """Return the values of a column; ValueError with the nearest name if there is none."""
    if name in table.column_names:
        return table[name].to_pylist()
    near = difflib.get_close_matches(name, table.column_names, n=1, cutoff=0.0)
    nearest = f"; the nearest is {near[0]!r}" if near else ""
    raise ValueError(f"{path}: no column {name!r}{nearest} (it has: {', '.join(table.column_names)})")


def read_math(paths: list[Path]) -> pa.Table:
    r"""Return problems from files in MATH's format: problem, and answer or else solution (its last box).

    Columns prompt, answer and source (unique_id, or file and row). ValueError if one is missing.
    """

    def answers(table: pa.Table, path: Path) -> list:
        if "answer" in table.column_names:
            return column(table, "answer", path)
        return [last_boxed(solution or "") for solution in column(table, "solution", path)]

    remedy = "an answer, or a solution with a closed \\boxed{}"
    return pa.concat_tables(_problems(path, "problem", answers, remedy) for path in paths)


def read_gsm8k(paths: list[Path]) -> pa.Table:
    """Return problems from files in GSM8K's format: question, and answer, a solution ending in `#### 1,200`.

    The final answer follows the last ####, without commas and without calculator annotations
    (`<<48/2=24>>`). Columns and errors as in `read_math`.
    """

    def answers(table: pa.Table, path: Path) -> list:
        return [_after_marks(solution or "") for solution in column(table, "answer", path)]

    remedy = "an answer that ends in #### and a number"
    return pa.concat_tables(_problems(path, "question", answers, remedy) for path in paths)


READERS = {"math": read_math, "gsm8k": read_gsm8k}


def _after_marks(solution: str) -> str | None:
    _, mark, final = solution.rpartition("####")
    return re.sub("<<.*?>>", "", final).replace(",", "") if mark else None


def _problems(path: Path, prompt: str, answers_of: Callable, remedy: str) -> pa.Table:
    table = read_file(path)
    prompts, answers = column(table, prompt, path), answers_of(table, path)
    empty = [row for row, text in enumerate(prompts) if not (text and str(text).strip())]
    if empty:
        raise ValueError(f"{path}: {len(empty)} rows have no {prompt}, the first is row {empty[0] + 1}")
    missing = [row for row, answer in enumerate(answers) if not (answer and str(answer).strip())]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(answers)} rows have no final answer, the first is row "
            f"{missing[0] + 1}: each needs {remedy}"
        )
    if "unique_id" in table.column_names:
        sources = column(table, "unique_id", path)
    else:
        sources = [f"{path.name}:{row}" for row in range(1, len(prompts) + 1)]
    answers = [str(answer).strip() for answer in answers]
    return pa.table({"prompt": prompts, "answer": answers, "source": sources})


def choose(table: pa.Table, count: int, rng: np.random.Generator, what: str) -> pa.Table:
    """Return `count` rows drawn without replacement, as `SCHEMA`, in random order: a prefix is a sample too.

    ValueError, which names `what` these problems are, if there are fewer.
    """
    if count > table.num_rows:
        raise ValueError(f"{count} {what} problems are asked for, there are {table.num_rows}: ask for fewer")
    rows = rng.permutation(table.num_rows)[:count]
    numbered = table.take(pa.array(rows)).add_column(0, "problem_id", pa.array(range(count), pa.int64()))
    return numbered.select(SCHEMA.names).cast(SCHEMA)
