"""How the pictures look, and how they are saved: matplotlib's objects only, no state of pyplot."""

from __future__ import annotations

import textwrap
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from titans_core.errors import UnwritableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito, "Color Universal Design" (2008).
BLACK, GREY = "#000000", "#8c8c8c"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

INK = "#333333"
DPI = 150
_BOX = "□"


def new_figure(width: float, height: float, title: str, remark: str) -> Figure:
    """An empty figure with its finding as a title, and what one must know to read it below.

    Args:
        width: in inches.
        height: in inches.
        title: one sentence.
        remark: a sentence or two, set smaller.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
    figure.suptitle(_lines(title, width * 7.6), x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    figure.supxlabel(_lines(remark, width * 13.5), x=0.01, ha="left", fontsize=9, color=INK)
    return figure


def dress(axes: Axes, *, title: str = "", x: str, y: str, whole: bool = True) -> None:
    """Give axes their labels, and take away what shows nothing.

    Args:
        axes: the axes.
        title: what they show.
        x: label with the unit.
        y: likewise.
        whole: whether x counts, and is marked at whole numbers.
    """
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(which="both", labelsize=9, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.01 if whole else 0.03)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def add_legend(axes: Axes, *, columns: int = 4, handles: Sequence[Artist] | None = None) -> None:
    """A legend above the axes, on the right, where no data are; of the axes' own artists, or of others."""
    axes.legend(
        handles=axes.get_legend_handles_labels()[0] if handles is None else handles,
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncols=columns,
        fontsize=9,
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.3,
        handletextpad=0.4,
        columnspacing=0.8,
        labelcolor=INK,
    )


def plain(text: str, length: int, lines: int = 1) -> str:
    """A text in lines of at most so many characters, as it can be drawn: no formulas, no missing glyphs."""
    drawn = "".join(character if ord(character) in _glyphs() else _substitute(character) for character in text)
    while _BOX * 2 in drawn:
        drawn = drawn.replace(_BOX * 2, _BOX)
    filled = textwrap.fill(" ".join(drawn.split()), length, max_lines=lines, placeholder=" …")
    return filled.replace("$", r"\$")


def save(figure: Figure, directory: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG (150 dpi) and as SVG; equal figures give equal bytes.

    Args:
        figure: the figure.
        directory: where to; it is created.
        name: of the files, without an ending.

    Returns:
        The two paths.

    Raises:
        UnwritableError: the files cannot be written.
    """
    paths = [Path(directory) / f"{name}.{ending}" for ending in ("png", "svg")]
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        figure.savefig(paths[0], dpi=DPI)
        # Else the ids inside are random.
        with mpl.rc_context({"svg.hashsalt": "titans", "svg.fonttype": "path"}):
            figure.savefig(paths[1], metadata={"Date": None, "Title": figure.get_suptitle().replace("\n", " ")})
    except OSError as error:
        raise UnwritableError(f"{str(directory)!r} cannot be written ({error}); choose another folder.") from error
    return paths


def _lines(text: str, length: float) -> str:
    return "\n".join(textwrap.wrap(text, int(length)))


def _substitute(character: str) -> str:
    if character.isspace():
        return " "
    # Marks and control characters (an emoji's skin colour, say) change what stands before them.
    return "" if unicodedata.category(character)[0] in "MC" else _BOX


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """What the default font can draw."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
