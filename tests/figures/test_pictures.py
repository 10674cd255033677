"""The pictures show the numbers of a memory's history, and their text is readable."""

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from titans_core import figures
from titans_core.errors import InvalidQueryError, UnwritableError
from titans_core.figures.curves import _correlation_title
from titans_core.figures.history import replay
from titans_core.figures.panels import running_median
from titans_core.figures.style import drawable_text, new_figure
from titans_core.neural import MemorySpec

TALK = [
    ("Ada", "My brother Tom broke his arm while climbing."),
    ("Ben", "Oh no! Was that in the gym or outside?"),
    ("Ada", "Outside, near the quarry at Bellever."),
    (None, "A message without a speaker costs $5, or $6. 🧗🏽"),
    ("Ben", "I finally sold my old Volvo to a neighbour."),
    ("Ada", "My brother Tom broke his arm, while climbing!"),
    ("Cleo", "How much did you get for it?"),
    ("Ben", "Eleven hundred, and he paid in cash."),
    ("Dora", "The secret code is X-8-DELTA-9."),
    ("Emil", "The meeting is scheduled for 3pm on Friday."),
    ("Ada", "Tom says that his arm is better now."),
    ("Ben", "Good to hear."),
]
NAMES = ["surprise_over_time", "update_heat_map", "momentum_against_surprise", "effect_of_forgetting", "dashboard"]


@pytest.fixture(scope="module")
def history(talk):
    # With this gate, some of the twelve turns are above it and some are below.
    return replay(talk._learned.log, replace(talk._learned.learner.spec, gate=0.98), repeats={6})


@pytest.fixture(scope="module")
def recollection(talk):
    return talk.recall("How much was the Volvo?")


@pytest.fixture
def draw(history, recollection):
    def draw(name):
        return figures.dashboard(history, recollection) if name == "dashboard" else getattr(figures, name)(history)

    return draw


def line(axes, label):
    """Return the x and y data of the line whose label starts with `label`."""
    [match] = [line for line in axes.get_lines() if str(line.get_label()).startswith(label)]
    return match.get_xdata(), match.get_ydata()


def panels(figure):
    """Return the axes of a figure by title."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


# ── content ──


def test_surprise_and_the_gate_are_the_history_s(draw, history):
    figure = draw("surprise_over_time")
    above, below = figure.axes
    turns, values = line(above, "turn")
    assert turns.tolist() == history.numbers.tolist() == list(range(1, len(TALK) + 1))
    assert values.tolist() == history.surprise.tolist()
    np.testing.assert_array_equal(line(above, "running median")[1], running_median(history.surprise))
    learned, left_out, repeated = (line(below, label)[1] for label in ("learned", "left out", "repeated"))
    decided = np.stack([learned, left_out, repeated])
    np.testing.assert_array_equal(np.isfinite(learned), history.learned > 0)
    np.testing.assert_array_equal(np.isfinite(repeated), history.repeated)
    assert (np.isfinite(decided).sum(0) == 1).all()
    assert np.nansum(decided, axis=0).tolist() == history.relative.tolist()
    [threshold] = [line for line in below.get_lines() if line.get_linestyle() == "--"]
    assert set(threshold.get_ydata()) == {history.gate}
    assert below.get_title(loc="left") == "The gate at 0.98"
    count = int(np.isfinite(left_out).sum())
    assert f"leaves out {count} of 12 turns" in figure.get_suptitle()


def test_the_band_of_tokens_holds_the_middle_80_percent(draw, history):
    [band] = draw("surprise_over_time").axes[0].collections
    first = history.token_surprise[: history.tokens[0]]
    last = history.token_surprise[-history.tokens[-1] :]
    for number, tokens in ((1, first), (len(TALK), last)):
        [path] = band.get_paths()
        edges = {y for x, y in path.vertices if x == number}
        assert edges >= {np.quantile(tokens, 0.1), np.quantile(tokens, 0.9)}


def test_without_a_gate_the_picture_says_so(history):
    figure = figures.surprise_over_time(replace(history, gate=0.0))
    assert "no gate" in figure.get_suptitle()
    assert not [one for one in figure.axes[1].get_lines() if one.get_linestyle() == "--"]


def test_a_turn_that_is_partly_learned_has_a_mark_of_its_own(history):
    learned = history.learned.copy()
    learned[2] = 0.5
    figure = figures.surprise_over_time(replace(history, learned=learned))
    values = line(figure.axes[1], "partly learned (1)")[1]
    assert np.flatnonzero(np.isfinite(values)).tolist() == [2]


def test_the_running_median_is_of_full_windows_and_skips_what_is_no_number():
    values = np.arange(40.0) ** 2
    values[20] = np.nan
    medians = running_median(values)
    assert np.flatnonzero(np.isnan(medians)).tolist() == [0, 1, 2, 3, 36, 37, 38, 39]
    assert medians[10] == 100
    assert medians[20] == (19**2 + 21**2) / 2
    assert running_median(values[:9]).tolist() == values[:9].tolist()


def test_the_heat_map_holds_the_updates(draw, history):
    figure = draw("update_heat_map")
    above, below = figure.axes[:2]
    [image] = below.get_images()
    np.testing.assert_array_equal(image.get_array().filled(0), history.first_order.updates.T)
    assert image.get_extent() == [0.5, len(TALK) + 0.5, 0, 48]
    total = np.linalg.norm(history.first_order.updates, axis=1)
    np.testing.assert_allclose(line(above, "turn")[1], total)
    assert [label.get_text() for label in below.get_yticklabels()] == ["layer 1", "layer 2"]


def test_the_heat_map_s_title_counts_the_bands_that_change():
    updates = np.ones((20, 48))
    updates[10:, :24] = 0
    updates[10:, 5] = 3  # only one band of the first layer changes
    history = replay([], MemorySpec(16))

    def title(updates):
        moved = replace(history.first_order, updates=updates)
        numbers = np.arange(20) + 1
        shown = replace(history, positions=numbers, numbers=numbers, tokens=numbers, first_order=moved)
        return figures.update_heat_map(shown).get_suptitle().replace("\n", " ")

    assert "22 of 24 bands of layer 1 at first, and 1 at the end" in title(updates)
    assert "22 of 24 bands of a layer, from the first turn to the last" in title(np.ones((20, 48)))


def test_momentum_and_surprise_are_the_history_s(draw, history):
    above, below, scatter = draw("momentum_against_surprise").axes[:3]
    seen = history.first_order
    dots = [one.get_ydata().tolist() for one in above.get_lines() if one.get_linestyle() == "None"]
    assert dots == [seen.surprise.tolist(), seen.past.tolist()]
    assert line(below, "weights")[1].tolist() == seen.weights.tolist()
    assert line(below, "momentum")[1].tolist() == seen.momentum.tolist()
    [points] = scatter.collections
    np.testing.assert_array_equal(points.get_offsets(), np.stack([seen.past, seen.surprise], axis=1))
    assert points.get_array().tolist() == history.numbers.tolist()


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (np.arange(20.0), "rise together (rank correlation +1.00)"),
        (-np.arange(20.0), "momentary surprise is low (rank correlation −1.00)"),
        (np.array([2.0, 4, 1, 3]), "says little about momentary surprise (rank correlation +0.00)"),
        (np.array([5.0, np.nan, np.nan, 1]), "Too few turns"),
    ],
)
def test_the_title_says_how_past_and_momentary_surprise_go_together(past, words):
    assert words in _correlation_title(past, np.array([1.0, 2, 3, 4]) if len(past) == 4 else np.arange(20.0) ** 2)


def test_forgetting_is_the_history_s_by_age(draw, history):
    [axes] = draw("effect_of_forgetting").axes
    left = history.forgetting
    dots = [(one.get_xdata(), one.get_ydata()) for one in axes.get_lines() if one.get_linestyle() == "None"]
    for (ages, found), values in zip(dots, (left.kept, left.decayed), strict=True):
        assert ages.tolist() == left.ages.tolist() == list(range(len(TALK)))[::-1]
        assert found.tolist() == values.tolist()
    np.testing.assert_allclose(line(axes, "0.99 to the power")[1], 0.99**left.writes)


def test_the_title_says_when_an_answer_is_halved(history):
    ages = np.arange(12)[::-1]
    halved = replace(history.forgetting, ages=ages, kept=np.ones(12), decayed=0.9**ages)
    title = figures.effect_of_forgetting(replace(history, forgetting=halved)).get_suptitle().replace("\n", " ")
    assert "after more than 10 turns if everything is kept, after 7 turns if each write forgets 1%" in title


def test_the_dashboard_shows_the_input_by_speaker(draw, history):
    axes = panels(draw("dashboard"))["1  Input"]
    lengths = {}
    for one in axes.get_lines():
        lengths |= dict(zip(one.get_xdata().tolist(), one.get_ydata().tolist(), strict=True))
    assert [lengths[number] for number in history.numbers] == history.tokens.tolist()
    labels = [one.get_label() for one in axes.get_lines()]
    assert labels[:2] == ["Ada", "Ben"]
    assert labels[-1] == "others"
    assert line(axes, "Ada")[0].tolist() == [1, 3, 6, 11]


def test_the_dashboard_shows_how_the_weights_grow(draw, history):
    figure = draw("dashboard")
    axes = panels(figure)["4  Weights"]
    assert line(axes, "fullness")[1].tolist() == (100 * history.fullness).tolist()
    [beside] = [one for one in figure.axes if "‖W‖" in one.get_ylabel()]
    assert line(beside, "norm")[1].tolist() == history.norm.tolist()
    for one, values in ((axes, 100 * history.fullness), (beside, history.norm)):
        assert one.get_ylim() == (0, pytest.approx(1.08 * values.max()))


def test_a_memory_that_learned_nothing_is_drawn_at_zero(history):
    nothing = replace(history, fullness=np.zeros(12), norm=np.zeros(12), learned=np.zeros(12))
    assert panels(figures.dashboard(nothing))["4  Weights"].get_ylim() == (0, 1)


def test_the_dashboard_shows_the_parts_of_each_score(draw, recollection):
    [axes] = [one for title, one in panels(draw("dashboard")).items() if title.startswith("5  Recall of")]
    assert "How much was the Volvo?" in axes.get_title(loc="left")
    assert axes.get_title(loc="left").endswith(f"confidence: {recollection.confidence}")
    bars = {container.get_label(): [bar.get_width() for bar in container] for container in axes.containers}
    for name, widths in bars.items():
        assert widths == pytest.approx([recall.why[name] for recall in recollection])
    hidden = set(recollection.best.why) - set(bars)
    assert not any(recall.why[name] for recall in recollection for name in hidden)
    scores, rows = line(axes, "score")
    assert list(scores) == [recall.score for recall in recollection]
    assert list(rows) == list(range(len(recollection)))
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels[0].startswith(f"{recollection.best.turn.speaker}: ")
    # Each bar to the right begins where the previous one ends, so the last one ends at the sum of the positive parts.
    for row, recall in enumerate(recollection):
        ends = [container[row].get_x() + container[row].get_width() for container in axes.containers]
        assert max(ends) == pytest.approx(sum(max(part, 0) for part in recall.why.values()), abs=1e-9)


def test_the_dashboard_s_title_counts_what_was_learned(history):
    learned = np.array([0.5, 0.25, *[1.0] * 7, 0.0, 0.0, 0.0])
    assert "in 12 turns: 7 learned, 2 partly, 3 not" in figures.dashboard(
        replace(history, learned=learned)
    ).get_suptitle().replace("\n", " ")


@pytest.mark.parametrize("empty", [True, False])
def test_the_dashboard_is_drawn_without_a_recall(history, recollection, empty):
    figure = figures.dashboard(history, replace(recollection, recalls=()) if empty else None)
    assert [text.get_text() for text in panels(figure)["5  Recall"].texts] == ["Nothing was recalled."]


# ── appearance ──


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_is_labelled_and_no_words_overlap(draw, name):
    figure = draw(name)
    figure.draw_without_rendering()
    assert figure.get_suptitle()
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert [axes for axes in figure.axes if axes.get_xlabel()]
    words = [axes.title if axes.get_title() else axes._left_title for axes in figure.axes]
    words += [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    words += [axes.xaxis.label for axes in figure.axes] + [axes.yaxis.label for axes in figure.axes]
    words += [figure._suptitle, figure._supxlabel]
    boxes = [one.get_window_extent() for one in words if not hasattr(one, "get_text") or one.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    width, height = figure.canvas.get_width_height()
    assert width >= 1200
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= width + 5
        assert 0 <= box.y0 < box.y1 <= height


def test_pictures_need_a_turn(history):
    empty = replay([], MemorySpec(16))
    for name in NAMES:
        with pytest.raises(InvalidQueryError, match="no turn"):
            getattr(figures, name)(empty)


def test_a_turn_with_words_is_enough(talk):
    first = next(talk._learned.log.records(after=0, keys=True))
    silent = replace(first, position=0, passages=())
    for records in ([first], [silent, first, silent]):
        for name in NAMES:
            figure = getattr(figures, name)(replay(records, talk._learned.learner.spec))
            assert "nan" not in figure.get_suptitle()
        figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("costs $5 or\n$6", r"costs \$5 or \$6"),
        ("日本語 is missing", "□ is missing"),
        ("🧗🏽🧗 climbing", "□ climbing"),
        ("bell\x07 and tab\tend", "bell and tab end"),
        ("a long text that has to be cut somewhere", "a long text that has to …"),
    ],
)
def test_any_text_can_be_drawn(text, drawn):
    assert drawable_text(text, 25) == drawn
    figure = new_figure(4, 2, drawable_text(text, 25), "")
    figure.draw_without_rendering()  # a missing glyph would cause a warning, and a formula an error


# ── files ──


def test_equal_figures_are_equal_files_without_a_date(draw, tmp_path):
    saved = [
        figures.save(draw("effect_of_forgetting"), tmp_path / folder, "picture") for folder in ("one", "two/three")
    ]
    for first, second in zip(*saved, strict=True):
        assert first.read_bytes() == second.read_bytes()
    png, svg = saved[0]
    assert png.name == "picture.png"
    assert imread(png).shape[:2] == (975, 1500)
    tree = ET.fromstring(svg.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "date" not in svg.read_text(encoding="utf-8")
    assert "An answer is halved" in svg.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_made_is_our_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableError, match="choose another folder"):
        figures.save(new_figure(2, 2, "", ""), tmp_path / "file" / "folder", "picture")
