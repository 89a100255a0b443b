"""Copy published figures and claims to docs/gallery/ and docs/claims/, and write docs/calibration.md.

python -m tools.write_gallery results/cpu docs
python -m tools.write_gallery results/pretrained docs    to docs/gallery/pretrained/, docs/claims/pretrained.*
"""

import csv
import shutil
import sys
from pathlib import Path

GALLERY = """# Gallery

All figures of `make figures` at cpu scale, those of `snakemake beyond` that were run, and the calibration.
Models and data are stand-ins: each caption says which. `make gallery` runs all and refreshes this folder.
With a pretrained language model: [pretrained](pretrained/README.md).
"""
PRETRAINED = """# Gallery, scale pretrained

The figures of `make figures SCALE=pretrained`, with a pretrained language model, and its calibration.
The claims: [claims/pretrained.md](../../claims/pretrained.md).
"""
CALIBRATION = """# Calibration of the learning rates

`make calibration` runs each objective, at delta_v = -0.5 where it has one, with each candidate learning
rate, and applies one rule: take the largest learning rate whose final accuracy on fixed training
problems (mean over seeds and the last three evaluation points) is at most the tolerance below that of
the best one. The code is `asymre/metrics/calibration.py`. The rule sees no other delta_v, no seed of a figure
and no test problem. One model and data set decides for all. Among equally good rates, the largest goes
farthest off-policy in a cycle. delta_v = -0.5 is the farthest from 0: claims about values nearer to 0 cannot
be due to this choice. Every objective compared with AsymRE gets its own rate by the same rule. The rule was
written when all problems were equally hard ([what that showed](even/README.md)); it was not changed when the
task got its spread of difficulty.

An earlier rule took the largest rate at which the accuracy still improved from cycle to cycle. It was
abandoned because its choice for AsymRE depended on the kind of processor (0.0004 on one, 0.0008 on another,
with the same configuration), and because it gave GRPO 0.0008, at which GRPO ends far below what half that
rate reaches.

The chosen rates are in `config/scale/cpu.yaml` (`training.learning_rate`); a test holds them equal to this
table.

![Calibration](gallery/calibration.png)

"""


DELTA_V = """
At the rate of asymre, the delta_v below 0 with the best final training accuracy (mean over seeds and the
last three evaluation points) is the one that the claims compare with GRPO beside the paper's -0.1
(`claims.delta_v`):

"""


def section(name: str, picture: Path) -> str:
    caption = picture.with_suffix(".txt").read_text(encoding="utf-8").strip()
    return f"## {name}\n\n![{name}]({picture.name})\n\n{caption}\n"


def write(results: Path, docs: Path) -> None:
    default = results.name == "cpu"
    gallery = docs / "gallery" if default else docs / "gallery" / results.name
    gallery.mkdir(parents=True, exist_ok=True)
    for old in gallery.glob("*.png"):
        old.unlink()
    pictures = sorted((results / "figures").glob("figure_*.png"))
    sections = [section(f"Figure {p.stem.removeprefix('figure_').lstrip('0')}", p) for p in pictures]
    calibration = results / "figures/calibration.png"
    for picture in [*pictures, calibration]:
        shutil.copyfile(picture, gallery / picture.name)
    with calibration.with_suffix(".csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = [[row for row in rows if row["choice"] == choice] for choice in ("learning_rate", "delta_v")]
    sections.append(section("Calibration", calibration))
    if default:
        text = CALIBRATION + rate_table(chosen[0]) + DELTA_V + delta_v_table(chosen[1])
        (docs / "calibration.md").write_text(text, encoding="utf-8")
    else:
        sections.append(rate_table(chosen[0]))
    text = "\n".join([GALLERY if default else PRETRAINED, *sections])
    (gallery / "README.md").write_text(text, encoding="utf-8")
    (docs / "claims").mkdir(exist_ok=True)
    for page in sorted([*results.glob("claims*.md"), *results.glob("claims*.csv")]):
        name = page.name if default else page.name.replace("claims", results.name)
        shutil.copyfile(page, docs / "claims" / name)


def delta_v_table(rows: list[dict[str, str]]) -> str:
    lines = ["| delta_v | final training accuracy | preferred |", "|---|---|---|"]
    for row in rows:
        if row["step"] == "0":
            preferred = "yes" if row["chosen"] == "True" else ""
            lines.append(f"| {row['delta_v']} | {float(row['final_accuracy']):.3f} | {preferred} |")
    return "\n".join(lines) + "\n"


def rate_table(rows: list[dict[str, str]]) -> str:
    """Return a table with a row per objective and learning rate, and a column per end of a cycle."""
    steps = sorted({int(row["step"]) for row in rows})
    heads = ["objective", "learning rate", *(f"step {s}" for s in steps), "final", "chosen"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for objective, rate in dict.fromkeys((row["objective"], row["learning_rate"]) for row in rows):
        mine = {int(r["step"]): r for r in rows if (r["objective"], r["learning_rate"]) == (objective, rate)}
        cells = [objective, rate, *(f"{float(mine[s]['accuracy']):.3f}" for s in steps)]
        cells += [f"{float(mine[0]['final_accuracy']):.3f}", "yes" if mine[0]["chosen"] == "True" else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
