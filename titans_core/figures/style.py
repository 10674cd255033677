"""The look of the pictures, and how they are saved.

Only matplotlib's figure objects are used, because pyplot has global state.
"""

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

# The palette of Okabe and Ito, "Color Universal Design" (2008).
BLACK, GREY = "#000000", "#8c8c8c"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

INK = "#333333"
DPI = 150
_MISSING_GLYPH = "□"


def new_figure(width: float, height: float, title: str, remark: str) -> Figure:
    """Make an empty figure, with its finding as the title and an explanation at the bottom.

    Args:
        width: Width in inches.
        height: Height in inches.
        title: Finding of the picture, one sentence.
        remark: Explanation that a reader needs, a few sentences in smaller letters.

    Returns:
        The figure, without axes.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
    figure.suptitle(_wrap(title, width * 7.6), x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    figure.supxlabel(_wrap(remark, width * 13.5), x=0.01, ha="left", fontsize=9, color=INK)
    return figure


def label_axes(axes: Axes, *, title: str = "", x: str, y: str, whole_numbers: bool = True) -> None:
    """Set the labels of axes, and remove the lines that carry no information.

    Args:
        axes: The axes.
        title: Title of the axes.
        x: Label of the x axis, with the unit.
        y: Label of the y axis, with the unit.
        whole_numbers: Whether x is a count, so that its ticks must be whole numbers.
    """
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(which="both", labelsize=9, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.01 if whole_numbers else 0.03)
    if whole_numbers:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def add_legend(axes: Axes, *, columns: int = 4, handles: Sequence[Artist] | None = None) -> None:
    """Add a legend above the axes, on the right, where it hides no data.

    Args:
        axes: The axes.
        columns: Number of columns.
        handles: Artists to list; None for the labelled artists of the axes.
    """
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


def drawable_text(text: str, length: int, lines: int = 1) -> str:
    """Convert any text so that matplotlib can draw it: without formulas, and without glyphs that the font lacks.

    Args:
        text: The text.
        length: Largest number of characters in a line.
        lines: Largest number of lines; the rest of the text is replaced by "…".

    Returns:
        The text to draw. Characters that the font lacks are replaced by one box for each run of them.
    """
    drawable = "".join(character if ord(character) in _glyphs() else _substitute(character) for character in text)
    while _MISSING_GLYPH * 2 in drawable:
        drawable = drawable.replace(_MISSING_GLYPH * 2, _MISSING_GLYPH)
    wrapped = textwrap.fill(" ".join(drawable.split()), length, max_lines=lines, placeholder=" …")
    return wrapped.replace("$", r"\$")  # a dollar sign would begin a formula


def save(figure: Figure, directory: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG (150 dpi) and as SVG; equal figures give equal bytes.

    Args:
        figure: The figure.
        directory: Folder for the files; it is created if it does not exist.
        name: Name of the files, without the extension.

    Returns:
        The paths of the PNG file and of the SVG file.

    Raises:
        UnwritableError: The files cannot be written.
    """
    paths = [Path(directory) / f"{name}.{extension}" for extension in ("png", "svg")]
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        figure.savefig(paths[0], dpi=DPI)
        # Without a fixed salt, the ids inside the SVG would be random.
        with mpl.rc_context({"svg.hashsalt": "titans", "svg.fonttype": "path"}):
            figure.savefig(paths[1], metadata={"Date": None, "Title": figure.get_suptitle().replace("\n", " ")})
    except OSError as error:
        raise UnwritableError(f"{str(directory)!r} cannot be written ({error}); choose another folder.") from error
    return paths


def _wrap(text: str, length: float) -> str:
    return "\n".join(textwrap.wrap(text, int(length)))


def _substitute(character: str) -> str:
    if character.isspace():
        return " "
    # Marks and control characters (for example an emoji's skin colour) only modify the character before them.
    return "" if unicodedata.category(character)[0] in "MC" else _MISSING_GLYPH


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Return the code points that the default font can draw."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
