import html.parser
import math
import re

import numpy as np
import pytest

from jobs import report as job
from pipeline.errors import ConfigError
from pipeline.reports.charted_tables import chart_curves
from pipeline.reports.charts import BOTTOM, LEFT, RIGHT, TOP, Scale, bar_chart, line_chart
from pipeline.reports.reporting import make_report
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.reports import OPERATING_POINTS, SUMMARY, TRAINING
from schemas.scores import SCORES
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS

EVIL = "</td><script>alert('ö')</script>\"><img src=x onerror=alert(1)>"
STEERING = "\x1b[31m\x00\x9b"  # what a terminal obeys, and no HTML may hold
OUTCOMES = ["kept"] * 7 + ["no_audio"] * 2 + ["unreadable"]
SCORES_OF_CLIPS = [0.0, 0.049, 0.05, 0.51, 0.52, 0.99, 1.0]
NO_NUMBER = ["c7", "c8"]  # clips whose score is NaN


def rows_of(schema, rows):
    return from_rows(rows, schema, "test")


def commit_run(workspace, run, figures, sets="default"):
    names = ("eval_set", "metric", "value", "unit", "n", "low", "high")  # an interval is given for some
    rows = [dict(zip(names, figure, strict=False)) for figure in figures]
    workspace.commit(f"summary/{run}/{sets}", "00000", rows_of(SUMMARY, rows), SUMMARY)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Ten videos, seven clips, one selection, two models with their summaries and curves."""
    workspace = Workspace(str(tmp_path_factory.mktemp("reporting")))
    workspace.begin("clips/base", {"hop_s": 1.0}, {})
    workspace.finish("clips/base")
    workspace.begin("models/coincidence", {"learner": "coincidence"}, {})
    workspace.begin("models/separation", {"learner": "separation", "steps": 3}, {})
    videos = [
        {
            "video_id": f"v{i}",
            "uri": f"/videos/{i}",
            "part": "00000",
            "rights": "unknown",
            "num_clips": 1,
            "outcome": outcome,
            "size_bytes": 10**6,
        }
        for i, outcome in enumerate(OUTCOMES)
    ]
    videos[-1] |= {"uri": f"/videos/{EVIL}.mp4", "detail": EVIL + STEERING}
    workspace.commit("videos/base", "00000", rows_of(VIDEOS, videos), VIDEOS)
    clips, scores, selections = [], [], []
    for i, score in enumerate(SCORES_OF_CLIPS):
        ids = {"clip_id": f"c{i}", "video_id": f"v{i}"}
        span = {"start_s": 0.0, "duration_s": 5.0, "part": "00000", "num_frames": 5, "outcome": "kept"}
        clips.append(ids | span)
        scores.append(ids | {"score": score, "audio_embedding": [], "visual_embedding": []})
        verdict = {"kept": score > 0.5, "reason": "kept" if score > 0.5 else "low_score", "split": "train"}
        selections.append(ids | verdict | {"part": "00000", "score": score})
    for clip in NO_NUMBER:
        ids = {"clip_id": clip, "video_id": "v0"}
        model = {"score": math.nan, "audio_embedding": [], "visual_embedding": []}
        scores.append(ids | model)
        verdict = {"kept": False, "reason": "not_scored", "split": "train", "score": math.nan}
        selections.append(ids | verdict | {"part": "00000"})
    workspace.commit("clips/base", "00000", rows_of(CLIPS, clips), CLIPS)
    workspace.commit("scores/coincidence", "00000", rows_of(SCORES, scores), SCORES)
    workspace.commit("selections/default", "00000", rows_of(SELECTIONS, selections), SELECTIONS)
    curve = [(100, "train", 4.0), (200, "train", 1.0), (100, "validate", 3.0), (200, "validate", None)]
    curve += [(300, "train", math.nan)]
    training = [
        {"step": step, "split": split, "metric": "loss", "value": value, "elapsed_s": 1.0}
        for step, split, value in curve
    ]
    workspace.commit("training/separation", "separation", rows_of(TRAINING, training), TRAINING)
    points = [(-20.0, 60.0, 1.0), (-1.0, 20.0, 5.0), (0.0, 12.0, 5.5), (1.0, 6.0, None), (8.0, -0.5, 0.1)]
    names = ("logit_shift", "off_mom_osr_db", "on_mom_si_snr_improvement_db")
    curve = rows_of(OPERATING_POINTS, [dict(zip(names, point, strict=True)) for point in points])
    workspace.commit("operating_points/separation/default", "00000", curve, OPERATING_POINTS)
    commit_run(workspace, "coincidence", [("held_out_pairs", "match_auc", 0.8125, "1", 1200)], "-")
    commit_run(
        workspace,
        "separation",
        [
            ("on_mom", "median_si_snr_db", 6.25, "dB", 40),
            ("on_mom", "median_si_snr_input_db", 0.5, "dB", 40),
            ("on_mom", "median_si_snr_improvement_db", 5.5, "dB", 40, 4.0, 7.25),
            ("on_mom", "median_si_snr_oracle_db", 9.0, "dB", 40),
            ("off_mom", "median_osr_db", 12.0, "dB", 38),
            ("all", "auc_roc", None, "1", 0),
            ("future", "new_metric", 3.0, "1", 5),
        ],
    )
    return workspace


class Page(html.parser.HTMLParser):
    """Every tag with its attributes, the text of every table row's cells, and whether all tags close in order."""

    VOID = ("meta", "line", "rect", "polyline", "circle", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self._open, self._in_cell = [], [], [], False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self._open.pop() == tag
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def report(workspace):
    return make_report(workspace)


@pytest.fixture(scope="module")
def text(report):
    return report.page


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_figures_stand_beside_chance_or_the_untouched_mixture(report):
    figures = [(row.of, row.value, row.unit, row.baseline, row.baseline_of, row.n) for row in report.figures]
    assert figures == [
        ("coincidence", 0.8125, "1", 0.5, "chance", 1200),
        ("separation", 5.5, "dB", 0.0, "untouched mixture", 40),
        ("separation", 6.25, "dB", 0.5, "untouched mixture", 40),
        ("separation", 9.0, "dB", 0.5, "untouched mixture", 40),
        ("separation", 12.0, "dB", 0.0, "untouched mixture", 38),
        ("separation", None, "1", 0.5, "chance", 0),
    ]
    assert report.figures[0].cells()[1:] == ("0.812", "0.500", "chance", "1 200")
    assert report.figures[1].cells()[1:] == ("5.5 dB [4.0, 7.2]", "0.0 dB", "untouched mixture", "40")


def test_the_page_holds_the_same_figures(report, page):
    for figure in report.figures:
        what, value, *beside = figure.cells()
        mark = "better" if figure.value == 5.5 else ""  # its interval, 4.0 to 7.2 dB, lies above 0
        assert ([what, value + mark, *beside] in page.rows) == (figure.n > 0)  # of no example there is nothing to show
    first = page.rows.index(["figure", "all", "future", "off_mom", "on_mom"])
    by_metric = {row[0]: row[1:] for row in page.rows[first + 1 : first + 8]}
    assert by_metric["improvement"] == ["", "", "", "5.5 dB [4.0, 7.2]"]
    assert (by_metric["SI-SNR"][3], by_metric["oracle"][3], by_metric["OSR"][2]) == ("6.2 dB", "9.0 dB", "12.0 dB")
    assert by_metric["new_metric"] == ["", "3.000", "", ""]
    assert by_metric["n"] == ["0", "5", "38", "40"]
    assert "AUC-ROC" not in by_metric  # it has no value anywhere


def test_the_curve_of_suppression_is_drawn_up_to_40_db_with_a_mark_at_the_model_as_it_is(text):
    section = text.partition("<h3>separation</h3>")[2].partition("<h2")[0]
    assert section.count("<svg") == 1  # no point has a level of on_single
    x, y = Scale(0, 20, LEFT, RIGHT), Scale(5, 5.5, BOTTOM, TOP)
    line, mark = re.findall(r'points="([^"]+)"', section)
    assert line.split() == [f"{x(12)},{y(5.5)}", f"{x(20)},{y(5)}"]
    assert mark.split() == [f"{x(12)},{y(5.5)}"]


def test_counts_are_those_of_the_rows(page):
    for outcome in set(OUTCOMES):
        assert ["base", outcome, str(OUTCOMES.count(outcome))] in page.rows
    kept = sum(score > 0.5 for score in SCORES_OF_CLIPS)
    assert ["default", "train", "kept", str(kept)] in page.rows
    assert ["default", "train", "low_score", str(len(SCORES_OF_CLIPS) - kept)] in page.rows


def test_bars_are_the_histogram_of_the_scores(page):
    expected, edges = np.histogram(SCORES_OF_CLIPS, bins=20, range=(0, 1))
    bars = [attributes for tag, attributes in page.tags if tag == "rect"]
    heights = np.array([float(bar["height"]) for bar in bars])
    np.testing.assert_allclose(heights, expected / expected.max() * (BOTTOM - TOP), atol=0.05)
    np.testing.assert_allclose([float(bar["x"]) for bar in bars], LEFT + edges[:-1] * (RIGHT - LEFT), atol=0.05)
    for bar in bars:
        assert float(bar["y"]) + float(bar["height"]) == pytest.approx(BOTTOM)


def test_a_selection_is_drawn_as_the_outline_of_all_scored_clips_and_of_the_kept_ones(page):
    kept = [score for score in SCORES_OF_CLIPS if score > 0.5]
    outlines = [attributes["points"].split() for tag, attributes in page.tags if tag == "polyline"][2:4]
    most = np.histogram(SCORES_OF_CLIPS, 20, (0, 1))[0].max()
    for outline, scores in zip(outlines, (SCORES_OF_CLIPS, kept), strict=True):
        points = np.array([point.split(",") for point in outline], float)
        counts = (BOTTOM - points[:, 1]) / (BOTTOM - TOP) * most
        expected, edges = np.histogram(scores, 20, (0, 1))
        np.testing.assert_allclose(counts, [0, *np.repeat(expected, 2), 0], atol=0.01)
        places = [0, *np.repeat(edges, 2)[1:-1], 1]
        np.testing.assert_allclose(points[:, 0], LEFT + np.array(places) * (RIGHT - LEFT), atol=0.05)


def test_curves_go_through_their_points_and_leave_out_what_is_no_number(page):
    lines = [attributes["points"].split() for tag, attributes in page.tags if tag == "polyline"][4:]
    # x: 0 to 200 steps, y: from the smallest value, 1, at the bottom to the largest, 4, at the top
    middle, third = (LEFT + RIGHT) / 2, TOP + (BOTTOM - TOP) / 3
    train = [f"{middle},{float(TOP)}", f"{float(RIGHT)},{float(BOTTOM)}"]
    assert lines == [train, [f"{middle},{round(third, 1)}"]]
    (dot,) = [attributes for tag, attributes in page.tags if tag == "circle"][1:]  # a line of one point shows nothing
    assert (dot["cx"], dot["cy"]) == (str(middle), str(round(third, 1)))


def test_a_metric_with_one_point_is_a_row_and_no_empty_chart(workspace, tmp_path):
    other = Workspace(str(tmp_path))
    rows = [{"step": 5, "split": "train", "metric": "auc", "value": 0.25, "elapsed_s": 1.0}]
    other.commit("training/m", "m", rows_of(TRAINING, rows), TRAINING)
    text = make_report(other).page
    page = Page(text)
    assert ["auc", "m", "train", "5", "0.25"] in page.rows
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"} <= ids  # no figure was evaluated
    assert "<svg" not in text


def test_every_place_that_the_contents_name_is_on_the_page_once(page, text):
    places = list(dict.fromkeys(attributes["href"][1:] for tag, attributes in page.tags if tag == "a"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert places == [place for place in ids if place in places]
    assert {"findings", "results", "flow", "rejected", "provenance", "words"} <= set(places)
    assert {"events", "masks", "against"}.isdisjoint(places)  # of which there is nothing here
    assert len(ids) == len(set(ids))


def test_the_first_screen_has_the_corpus_and_what_needs_a_look(text):
    tiles = dict(re.findall(r"<dt>([^<]*)</dt><dd class=\"value\">([^<]*)</dd>", text))
    assert (tiles["videos"], tiles["gave clips"], tiles["clips (base)"]) == ("10", "70 %", "7")
    assert "30 % of the videos gave no clip, most often: no audio (2)" in text
    assert "models/separation has not finished" in text


def test_a_hostile_file_name_stays_text(page):
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "iframe", "link", "object"})
    (row,) = [row for row in page.rows if row[0] == "unreadable(1)"]
    assert row[1:] == [f"/videos/{EVIL}.mp4", EVIL + "\ufffd[31m\ufffd\ufffd"]
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes), tag
        assert attributes.get("href", "#").startswith("#")


def test_the_page_refers_to_nothing_outside(text):
    assert not re.findall(r"https?:|url\(|@import", text)


def test_provenance_names_every_stage_its_hash_and_what_is_unfinished(workspace, page):
    clips, model = workspace.stage("clips/base"), workspace.stage("models/separation")
    rows = {row[0]: row[1:] for row in page.rows if len(row) == 5}
    times = [clips[name].removesuffix("+00:00").replace("T", " ") for name in ("started", "finished")]
    assert rows["clips/base"] == [clips["hash"], clips["code_version"], *times]
    assert rows["models/separation"][0] == model["hash"]
    assert rows["models/separation"][-1] == "not yet"


def test_a_model_is_compared_on_each_mixtures_that_both_were_evaluated_on(tmp_path):
    other = Workspace(str(tmp_path))
    for model in ("old", "new"):
        other.begin(f"models/{model}", {"learner": "separation"}, {})
        for sets, value in (("default", 5.0), ("large", 7.0)):
            shift = 2.0 * (model == "new")
            figure = (
                "on_mom",
                "median_si_snr_improvement_db",
                value + shift,
                "dB",
                40,
                value + shift - 1,
                value + shift + 1,
            )
            commit_run(other, model, [figure], sets)
    changes = make_report(other, "old").changes
    found = [(change.figure.of, change.other.of, change.verdict) for change in changes]
    assert found == [("new", "old", "better"), ("new on large", "old on large", "better")]
    with pytest.raises(ConfigError, match="against nothing: expected the root of another workspace, or one of the"):
        make_report(other, "nothing")


def test_a_workspace_that_was_only_cut_has_a_page_too(tmp_path):
    workspace = Workspace(str(tmp_path))
    with pytest.raises(ConfigError, match="no stage has run there"):
        make_report(workspace)
    workspace.commit("videos/base", "00000", VIDEOS.empty_table(), VIDEOS)
    found = make_report(workspace)
    text = found.page
    assert "Not there yet: a trained model, scores of clips, a selection, figures of held-out videos." in text
    assert "<svg" not in text
    assert (found.figures, found.extremes) == ([], [])
    Page(text)


def test_where_nothing_is_evaluated_the_last_line_names_the_command_in_place_of_a_table(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    workspace.commit("videos/base", "00000", VIDEOS.empty_table(), VIDEOS)
    job.report(workspace)
    todo = f"`earshot evaluate --root {tmp_path}` measures a trained model"
    assert capsys.readouterr().out == f"report: 0 figures; {todo} -> {tmp_path}/report.html\n"
    workspace.begin("reports/separator/-", {}, {})
    job.report(workspace)
    assert capsys.readouterr().out == f"report: 0 figures -> {tmp_path}/report.html\n"


def test_the_page_is_a_function_of_the_workspace(workspace, text):
    assert make_report(workspace).page == text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0, 600, ["0", "200", "400", "600"]),
        (-30.5, 4.5, ["-30", "-20", "-10", "0"]),
        (0, 7_200_000, ["0", "2 000 000", "4 000 000", "6 000 000"]),
        (0, 5, ["0", "1", "2", "3", "4", "5"]),
        (10.66, 10.82, ["10.7", "10.75", "10.8"]),
    ],
)
def test_ticks_are_round_and_within_the_scale(low, high, expected):
    ticks = Scale(low, high, 0, 100).ticks()
    assert [text for _, text in ticks] == expected
    assert all(0 <= place <= 100 for place, _ in ticks)


def test_a_chart_of_nothing_but_zeros_or_of_one_point_stays_finite():
    assert [bar[3] for bar in bar_chart([0, 0], 0, 1, "x", "y").bars] == [0, 0]
    ((_, points),) = line_chart({"train": [(0, 2.5)]}, "step", "loss").lines
    assert points == [(LEFT, (TOP + BOTTOM) / 2)]


def test_a_part_of_the_loss_that_is_all_of_it_is_drawn_once():
    rows = [
        {"model": "m", "metric": metric, "split": "train", "step": step, "value": value + shift}
        for metric, shift in (("info_nce", 0.0), ("loss", 0.0), ("matched", 1.0))
        for step, value in ((1, 4.0), (2, 3.0))
    ]
    charts, single = chart_curves(rows)
    assert list(charts["m"]) == ["loss", "share of pictures whose own sound scores above another"]
    assert charts["m"]["loss"].said == "train 4 at 1, 3 at 2"
    assert single == []


def test_of_each_outcome_some_rejected_videos_are_shown_the_rarest_first(tmp_path):
    workspace = Workspace(str(tmp_path))
    outcomes = ["no_audio"] * 30 + ["unreadable"] * 2 + ["too_short"] * 12
    videos = [
        {
            "video_id": f"v{i:02d}",
            "uri": f"/{i}.mp4",
            "part": "00000",
            "num_clips": 0,
            "outcome": outcome,
            "rights": "unknown",
        }
        for i, outcome in enumerate(outcomes)
    ]
    workspace.commit("videos/base", "00000", rows_of(VIDEOS, videos), VIDEOS)
    page = make_report(workspace).page
    rows = [row for row in Page(page).rows if len(row) == 3 and row[1].endswith(".mp4")]
    assert [row[0] for row in rows[:4]] == ["unreadable(2)", "unreadable", "too short(12)", "too short"]
    assert len(rows) == 2 + 10 + 10
    assert "44 gave no clip; of each outcome at most 10 are shown, the rarest first:" in page
    assert "<dt>AUC</dt>" not in page  # no figure is on the page
