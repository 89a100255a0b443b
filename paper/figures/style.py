"""What all figures share: theme, colours of a baseline sweep, labels, notes, reproducible files."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import isfinite

import matplotlib
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from paper.specs import FigureSpec
from store.files import write_text, write_whole

# Overrides seaborn's theme and context. The font comes with matplotlib; others are not on every machine.
STYLE = {
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.2",
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "figure.titlesize": 10.5,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
}
CRITICAL_COLOUR = "#000000"
NOTE_SIZE = 7.5
NOTE_MARGIN = 0.1
NOTE_LINES = 2
CUT = " ..."
# Mean width of a letter over the font size, for DejaVu Sans; 0.53 measured, the rest is a margin.
LETTER_WIDTH = 0.58
LINE_HEIGHT = 1.25
POINTS_PER_INCH = 72
END_SIZE = 7
# Height of a figure's axes over that of the figure, without title and labels: about.
AXES_HEIGHT = 0.62
MINUS = "\N{MINUS SIGN}"
DELTA_V = r"$\delta V$"


@contextmanager
def styled() -> Iterator[None]:
    """Provide the context in which figures are made and saved, independent of the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            sns.plotting_context("paper") | sns.axes_style("whitegrid") | {"xtick.bottom": True} | STYLE
        )
        yield


def new_figure(spec: FigureSpec) -> Figure:
    """Return an empty figure with constrained layout. spec: width and height in inches, title."""
    fig = Figure(figsize=(spec.width, spec.height), layout="constrained")
    fig.suptitle(spec.title, parse_math=False)
    return fig


def sweep_colours(values):
    """Return the colour of each of `values` (delta_v, or V - V_mu): blue below 0, black at 0, red above.

    In equal steps, blues darken towards 0 (the paper recommends the value next to it) and reds away from it.
    """
    colours = {}
    for side, name in ((-1, "Blues"), (1, "Reds")):
        ranked = sorted(v for v in set(values) if side * v > 0)
        for rank, v in enumerate(ranked, 1 if len(ranked) == 1 else 0):
            depth = 0.35 + 0.55 * rank / max(len(ranked) - 1, 1)
            colours[v] = to_hex(sns.color_palette(name, as_cmap=True)(depth))
    return {v: colours.get(v, CRITICAL_COLOUR) for v in values}


def short(rate: float) -> str:
    """Return `2e-4`."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def signed(value):
    """Return a delta_v as text: its sign, and no sign for 0."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


def label_ends(axis, ends):
    """Write texts beside the right ends of lines, joined to them, moved apart where they would overlap.

    ends: height in data, text and colour of each; a line that ends in NaN (a run that diverged) has no text.
    Call it when limits and scale of the axis are final.
    """
    to_fraction = axis.transData + axis.transAxes.inverted()
    right = axis.get_xlim()[1]
    placed = sorted((to_fraction.transform((right, y))[1], text, c) for y, text, c in ends if isfinite(y))
    gap = 1.15 * END_SIZE / (POINTS_PER_INCH * AXES_HEIGHT * axis.figure.get_figheight())
    gap *= axis.get_gridspec().nrows
    heights = []
    for wanted, _, _ in placed:
        heights.append(max(wanted, heights[-1] + gap) if heights else max(wanted, 0))
    ceiling = max(1.0, gap * (len(placed) - 1))
    for index in reversed(range(len(placed))):
        heights[index] = min(heights[index], ceiling)
        ceiling = heights[index] - gap
    join = {"arrowstyle": "-", "lw": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    for height, (end, text, colour) in zip(heights, placed, strict=True):
        axis.annotate(
            text,
            (1, end),
            (1.035, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=END_SIZE,
            va="center",
            arrowprops=join | {"color": colour},
        )


def wrapped(text, width):
    """Return `text` in lines for a figure `width` inches wide: at most NOTE_LINES, cut at a word."""
    letters = (width - 2 * NOTE_MARGIN) * POINTS_PER_INCH / (NOTE_SIZE * LETTER_WIDTH)
    return textwrap.wrap(text, int(letters), max_lines=NOTE_LINES, placeholder=CUT)


def add_note(fig, text):
    """Write `text`, wrapped, below everything else in `fig`, which grows by the height of the text.

    Call it last: it fixes the layout, including legends "outside", and moves everything up.
    """
    width, height = fig.get_size_inches()
    lines = wrapped(text, width)
    extra = len(lines) * NOTE_SIZE * LINE_HEIGHT / POINTS_PER_INCH + 2 * NOTE_MARGIN
    total = height + extra
    with styled():
        fig.draw_without_rendering()
    fig.set_layout_engine("none")
    fig.set_size_inches(width, total)
    for ax in fig.axes:
        box = ax.get_position()
        ax.set_position((box.x0, (extra + box.y0 * height) / total, box.width, box.height * height / total))
    for written in fig.texts:
        written.set_y((extra + written.get_position()[1] * height) / total)
    for legend in fig.legends:
        legend.set_bbox_to_anchor((0, extra / total, 1, height / total), fig.transFigure)
    fig.text(
        NOTE_MARGIN / width,
        (extra - NOTE_MARGIN) / total,
        "\n".join(lines),
        fontsize=NOTE_SIZE,
        linespacing=LINE_HEIGHT - 0.1,
        va="top",
        color="0.25",
        parse_math=False,
    )


def save(fig, folder, stem):
    """Write `fig` atomically to `folder`/`stem`.pdf and .png; return both paths.

    The same figure gives the same bytes with the same matplotlib: neither date nor version is stored.
    """
    FigureCanvasAgg(fig)
    metadata = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    paths = [folder / f"{stem}.{kind}" for kind in metadata]
    with styled():
        for path, (kind, stored) in zip(paths, metadata.items(), strict=True):
            write_whole(path, partial(fig.savefig, format=kind, metadata=stored))
    return paths


def write(folder, fig, data, spec: FigureSpec):
    """Write a figure: `fig` with its note as PDF and PNG, the table that it shows, the caption."""
    add_note(fig, spec.note)
    save(fig, folder, "figure")
    write_text(folder / "data.csv", data.to_csv(index=False, float_format="%.6g"))
    write_text(folder / "caption.txt", spec.caption + "\n")
