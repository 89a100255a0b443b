"""Compare graders on answers with known verdicts: false rewards and missed answers by kind, of the project's
verifier, of math-verify as it comes, and with the settings of TRL's reward.

    python -m tools.grade_answers FILE

FILE: JSON lines with the keys kind, gold, completion, verdict ("right" or another word); or tab-separated
columns with a heading: section, answer, gold, expected.
"""

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

from asymre.rewards import field
from asymre.rewards.verifier import Verifier

GRADERS = ("verifier", "math-verify", "TRL's settings")


def read(file: Path) -> list[dict[str, str]]:
    """Return rows with kind, gold, completion, verdict. Raises ValueError that names the line."""
    with file.open(encoding="utf-8", newline="") as lines:
        if file.suffix == ".tsv":
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        else:
            rows = [json.loads(line) for line in lines if line.strip()]
    found = []
    for number, row in enumerate(rows, 1):
        try:
            boxed = rf"\boxed{{{row['answer']}}}" if "answer" in row else row["completion"]
            verdict = row["expected"] if "expected" in row else row["verdict"]
            found.append(
                {
                    "kind": row.get("kind") or row.get("section") or "",
                    "gold": row["gold"],
                    "completion": boxed,
                }
                | {"verdict": verdict}
            )
        except KeyError as error:
            raise ValueError(f"{file}: row {number} has no {error}") from None
    return found


def accepted(rows: list[dict[str, str]]) -> list[tuple[bool, ...]]:
    """Return for each row whether each of `GRADERS` accepts it."""
    completions, golds = ([row[name] for row in rows] for name in ("completion", "gold"))
    with Verifier() as verifier:
        own = [verdict == "right" for verdict in verifier.verify(completions, golds)]
        others = [field.accepted(verifier, completions, golds, name) for name in ("defaults", "trl")]
    return list(zip(own, *others, strict=True))


def table(rows: list[dict[str, str]], verdicts: list[tuple[bool, ...]]) -> str:
    """Return a Markdown table: by kind, false rewards and missed answers of each grader."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * (2 + 2 * len(GRADERS)))
    for row, given in zip(rows, verdicts, strict=True):
        right = row["verdict"] == "right"
        for kind in (row["kind"], "all"):
            counts[kind][0 if right else 1] += 1
            for i, accepts in enumerate(given):
                counts[kind][2 + 2 * i] += accepts and not right
                counts[kind][3 + 2 * i] += right and not accepts
    heads = [
        "kind",
        "right",
        "wrong",
        *(f"{name}: {what}" for name in GRADERS for what in ("false", "missed")),
    ]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [kind, *map(str, counts[kind])] for kind in sorted(counts, key=lambda kind: (kind == "all", kind))
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    try:
        rows = read(parser.parse_args().file)
        print(table(rows, accepted(rows)))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
