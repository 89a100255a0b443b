"""Copy the published figures into a folder, with a page that shows them and their captions.

python scripts/write_gallery.py results/cpu docs/gallery
"""

import shutil
import sys
from pathlib import Path

HEADING = """# Gallery

All figures of `make figures` at cpu scale, and the calibration of its learning rates. Models and data are
stand-ins: each caption says which. `make gallery` refreshes this folder.
"""


def write(results: Path, gallery: Path) -> None:
    gallery.mkdir(parents=True, exist_ok=True)
    sections = [HEADING]
    for picture in sorted(
        (results / "figures").glob("*.png"), key=lambda p: (p.stem == "calibration", p.stem)
    ):
        shutil.copyfile(picture, gallery / picture.name)
        caption = picture.with_suffix(".txt").read_text().strip()
        name = picture.stem.replace("_0", " ").replace("_", " ").capitalize()
        sections.append(f"## {name}\n\n![{name}]({picture.name})\n\n{caption}\n")
    (gallery / "README.md").write_text("\n".join(sections))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
