"""Copy published figures and claims to docs/gallery/ and docs/claims/, and write docs/calibration.md.

python -m tools.write_gallery results/cpu docs
python -m tools.write_gallery results/pretrained docs    to docs/gallery/pretrained/, docs/claims/pretrained.*
"""

import shutil
import sys
from pathlib import Path

import pandas as pd

from paper.claims.table import escaped

GALLERY = """# Gallery

All figures of `make figures` at cpu scale, those of `snakemake beyond` that were run, and the calibration.
Models and data are stand-ins: each caption says which. `make gallery` runs all and refreshes this folder.
With a pretrained language model: [pretrained](pretrained/README.md).
"""
PRETRAINED = """# Gallery, scale pretrained

The figures of `make figures SCALE=pretrained`, with a pretrained language model, those of
`snakemake beyond --config scale=pretrained`, and the calibration.
The claims: [claims/pretrained.md](../../claims/pretrained.md).
"""
CALIBRATION = """# Calibration of the learning rates

`make calibration` runs each objective, at each delta_v at which it is compared with something, with each
candidate learning rate, and applies one rule: take the largest learning rate whose final accuracy on fixed
training problems (mean over seeds and the last three evaluation points) is at most the tolerance below that
of the best one. A choice at the edge of the grid is an error. The code is `asymre/metrics/calibration.py`.
The rule sees no seed of a figure and no test problem. It sees four seeds, each with a base policy of its own:
the number was decided before looking. One model and data set decides for all.

The sweeps over delta_v (figures 3, 4, 8 to 12) run AsymRE at the choice for delta_v = -0.5
(`training.learning_rate`): the farthest from 0, so that claims about values nearer to 0 cannot be due to this
choice. Where objectives are compared (figures 5 and 13 with GRPO, figure B, claims 6, B and T), each runs at
the choice for its own delta_v (`training.best_learning_rate`): AsymRE, too. A test holds both equal to this
table.

Clipped: share of the steps whose gradient is clipped. KL: KL(mu || pi) in nats a token over the last tenth of
a cycle, mean over cycles and seeds.

Two earlier rules were given up. The first took the largest rate at which the accuracy still improved from
cycle to cycle: its choice for AsymRE depended on the kind of processor, and it gave GRPO 0.0008, at which
GRPO ends far below what half that rate reaches. The second saw AsymRE at delta_v = -0.5 alone, with two seeds
of one base policy, and compared that rate with the best of every rival.

![Calibration](gallery/calibration.png)

"""


def section(name: str, picture: Path) -> str:
    caption = escaped(picture.with_suffix(".txt").read_text(encoding="utf-8").strip())
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
    rows = pd.read_csv(calibration.with_suffix(".csv"))
    sections.append(section("Calibration", calibration))
    if default:
        (docs / "calibration.md").write_text(CALIBRATION + rate_table(rows), encoding="utf-8")
    else:
        sections.append(rate_table(rows))
    text = "\n".join([GALLERY if default else PRETRAINED, *sections])
    (gallery / "README.md").write_text(text, encoding="utf-8")
    (docs / "claims").mkdir(exist_ok=True)
    for page in sorted([*results.glob("claims*.md"), *results.glob("claims*.csv")]):
        name = page.name if default else page.name.replace("claims", results.name)
        shutil.copyfile(page, docs / "claims" / name)


def rate_table(rows: pd.DataFrame) -> str:
    """Return a table with a row per objective, delta_v and learning rate, and a column per end of a cycle."""
    steps = sorted(rows["step"].unique())
    heads = ["objective", "delta_v", "learning rate", *(f"step {s}" for s in steps), "final", "clipped", "KL"]
    lines = ["| " + " | ".join([*heads, "chosen"]) + " |", "|" + "---|" * (len(heads) + 1)]
    groups = rows.groupby(["objective", "delta_v", "learning_rate"], sort=False, dropna=False)
    for (objective, delta_v, rate), own in groups:
        numbers = own[["final_accuracy", "clipped", "kl_behaviour"]].mean()
        cells = [objective, "" if pd.isna(delta_v) else f"{delta_v:g}", f"{rate:.12g}"]
        cells += [f"{value:.3f}" for value in [*own.groupby("step")["accuracy"].mean(), *numbers]]
        cells.append("yes" if own["chosen"].all() else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
