"""Who may import whom, read from the source with `ast`: house rules that no linter knows."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "pipeline", "jobs", "cluster")
# Every import between rooms, the lowest room first: a room imports from the rooms of its row, which stand above it.
# `pipeline` is what lies at its top (errors, config, audio, clip_specs); a command fetches from any room.
ROOMS: dict[str, tuple[str, ...]] = {
    "schemas": (),
    "cluster": (),
    "pipeline": (),
    "pipeline.storage": ("pipeline", "schemas"),
    "pipeline.media": ("pipeline",),
    "pipeline.rights": ("pipeline", "schemas"),
    "pipeline.clips": ("pipeline", "pipeline.media", "pipeline.rights", "pipeline.storage", "schemas"),
    "pipeline.collection": ("pipeline", "pipeline.rights", "pipeline.storage", "schemas"),
    "pipeline.estimate": ("pipeline", "pipeline.clips", "pipeline.storage", "schemas"),
    "pipeline.models": ("pipeline",),
    "pipeline.losses": (),
    "pipeline.metrics": (),
    "pipeline.labels": (
        "pipeline", "pipeline.clips", "pipeline.collection", "pipeline.metrics", "pipeline.storage", "schemas",
    ),
    "pipeline.training": ("pipeline", "pipeline.clips", "pipeline.estimate", "pipeline.storage", "schemas"),
    "pipeline.outside": (
        "pipeline", "pipeline.clips", "pipeline.media", "pipeline.storage", "pipeline.training", "schemas",
    ),
    "pipeline.features": (
        "pipeline", "pipeline.clips", "pipeline.labels", "pipeline.models", "pipeline.storage", "pipeline.training",
        "schemas",
    ),
    "pipeline.masks": (
        "pipeline", "pipeline.clips", "pipeline.labels", "pipeline.storage", "pipeline.training", "schemas",
    ),
    "pipeline.ingest": (
        "pipeline", "pipeline.clips", "pipeline.collection", "pipeline.features", "pipeline.labels", "pipeline.masks",
        "pipeline.media", "pipeline.storage", "schemas",
    ),
    "pipeline.learners": (
        "pipeline", "pipeline.clips", "pipeline.features", "pipeline.losses", "pipeline.masks", "pipeline.metrics",
        "pipeline.models", "pipeline.outside", "pipeline.storage", "pipeline.training", "schemas",
    ),
    "pipeline.selection": (
        "pipeline", "pipeline.clips", "pipeline.learners", "pipeline.models", "pipeline.outside", "pipeline.storage",
        "schemas",
    ),
    "pipeline.synthetic": ("pipeline", "pipeline.masks", "pipeline.media", "pipeline.storage"),
    "pipeline.evaluation": (
        "pipeline", "pipeline.clips", "pipeline.learners", "pipeline.losses", "pipeline.masks", "pipeline.metrics",
        "pipeline.models", "pipeline.selection", "pipeline.storage", "pipeline.synthetic", "pipeline.training",
        "schemas",
    ),
    "pipeline.takedown": (
        "pipeline", "pipeline.clips", "pipeline.labels", "pipeline.masks", "pipeline.selection", "pipeline.storage",
    ),
    "pipeline.reports": (
        "pipeline", "pipeline.clips", "pipeline.evaluation", "pipeline.learners", "pipeline.masks", "pipeline.media",
        "pipeline.metrics", "pipeline.outside", "pipeline.selection", "pipeline.storage", "pipeline.training",
        "schemas",
    ),
    "pipeline.inference": (
        "pipeline", "pipeline.clips", "pipeline.masks", "pipeline.media", "pipeline.metrics", "pipeline.storage",
    ),
    "jobs.console": ("cluster", "pipeline", "pipeline.*", "schemas"),
    "jobs": ("cluster", "jobs.console", "pipeline", "pipeline.*", "schemas"),
}  # fmt: skip
TENSORS_ONLY = ("pipeline.losses", "pipeline.metrics", "pipeline.models", "pipeline.audio")
# What may be imported below them: each other, the declaration of configs, and the errors that any module may raise.
KNOWN_TO_TENSORS = (*TENSORS_ONLY, "pipeline.config", "pipeline.errors")
# Modules that are tested together with another one.
TESTED_BY = {
    "pipeline.learners.composed_clips": "test_masked_examples",
    "pipeline.learners.separation_config": "test_separation",
    "pipeline.learners.lipreading_config": "test_lipreading",
    "pipeline.learners.coincidence_config": "test_coincidence",
    "pipeline.reports.croissant_records": "test_croissant",
    "pipeline.reports.card_rules": "test_data_card",
    "pipeline.reports.card_queries": "test_data_card",
    "pipeline.reports.card_figures": "test_data_card",
    "pipeline.media.pipes": "test_decoding",
    "pipeline.reports.charted_tables": "test_reporting",
    "pipeline.errors": "test_config",
    "pipeline.clip_specs": "test_sharding",
    "pipeline.clips.cut_clips": "test_sharding",
    "pipeline.clips.cut_videos": "test_splitting",
    "pipeline.clips.cutting": "test_sharding",
    "pipeline.clips.pictures": "test_sharding",
    "pipeline.clips.samples": "test_tars",
    "pipeline.clips.loudness": "test_statistics",
    "pipeline.clips.video_cutting": "test_several_specs",
    "pipeline.clips.withdrawing": "test_declaring",
    "pipeline.collection.source_urls": "test_rights_columns",
    "pipeline.evaluation.evaluating": "test_learner_contract",
    "pipeline.evaluation.seen_videos": "test_match_evaluation",
    "pipeline.inference.estimates": "test_separating",
    "pipeline.inference.face_agreement": "test_syncing",
    "pipeline.inference.face_boxes": "test_syncing",
    "pipeline.inference.recording": "test_separating",
    "pipeline.inference.stem_writing": "test_separating",
    "pipeline.ingest.ave_labels": "test_ave_features",
    "pipeline.ingest.ave_rows": "test_ave_features",
    "pipeline.ingest.h5_arrays": "test_ave_features",
    "pipeline.ingest.published_clips": "test_published_parts",
    "pipeline.ingest.speech_tables": "test_lrw",
    "pipeline.labels.label_files": "test_ratings",
    "pipeline.labels.video_names": "test_labeling",
    "pipeline.media.decode_command": "test_decoding",
    "pipeline.media.overlay": "test_segmenting",
    "pipeline.media.player_media": "test_player_page",
    "pipeline.media.sound_buffer": "test_frame_buffer",
    "pipeline.media.ffmpeg_log": "test_decoding",
    "pipeline.media.warping": "test_mouths",
    "pipeline.learners.source_contrast": "test_separation",
    "pipeline.learners.training_plan": "test_train",
    "pipeline.learners.word_examples": "test_words",
    "pipeline.losses.masks": "test_mask_losses",
    "pipeline.models.bases": "test_separator",
    "pipeline.models.onscreen_classifier": "test_separator",
    "pipeline.models.small_cnn": "test_towers",
    "pipeline.selection.deciding": "test_filtering",
    "pipeline.reports.charts": "test_reporting",
    "pipeline.takedown.names": "test_taking_down",
    "pipeline.takedown.new_tombstones": "test_taking_down",
    "pipeline.takedown.requests": "test_taking_down",
    "pipeline.takedown.holding": "test_taking_down",
    "pipeline.takedown.planning": "test_taking_down",
    "pipeline.takedown.sample_removal": "test_taking_down",
    "pipeline.takedown.lessons": "test_taking_down",
    "pipeline.takedown.proof": "test_taking_down",
    "pipeline.reports.card_facts": "test_data_card",
    "pipeline.reports.card_tables": "test_data_card",
}


def modules(*packages: str) -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package's own file under the package's name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement below a node; expressions, most of a tree, hold none."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            if isinstance(child, ast.stmt):
                yield child
            yield from statements(child)


@functools.cache
def imports(path: Path) -> list[str]:
    """Dotted names that a file imports, wherever in the file; `from a import b` gives a.b."""
    names = []
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def is_below(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def violations(importers: dict[str, Path], *forbidden: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """`importer <- imported` for every import of something forbidden that is not allowed."""
    return [
        f"{module} <- {name}"
        for module, path in importers.items()
        for name in imports(path)
        if is_below(name, *forbidden) and not is_below(name, *allowed)
    ]


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import ray.data as d\ndef f():\n    from pipeline import media\n    from x.y import (z, w)\n")
    assert imports(path) == ["ray.data", "pipeline.media", "x.y.z", "x.y.w"]
    assert violations({"a": path}, "ray", "pipeline") == ["a <- ray.data", "a <- pipeline.media"]
    assert violations({"a": path}, "pipeline", allowed=("pipeline.media",)) == []


def room(module: str) -> str:
    """The folder that a module lies in; `jobs` and `pipeline` for what lies at their top."""
    package, _, below = module.partition(".")
    folder = f"{package}.{below.partition('.')[0]}"
    return folder if folder in ROOMS else package


def pairs() -> dict[tuple[str, str], str]:
    """(importing room, imported room) of every import between rooms, each with one import as an example."""
    known = modules(*PACKAGES)
    found: dict[tuple[str, str], str] = {}
    for module, path in known.items():
        for name in imports(path):
            target = name
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and room(target) != room(module):
                found.setdefault((room(module), room(target)), f"{module} <- {target}")
    return found


def test_every_import_between_rooms_is_in_the_table() -> None:
    wrong = {}
    for (importer, imported), example in pairs().items():
        row = ROOMS[importer]
        if imported not in row and not ("pipeline.*" in row and imported.startswith("pipeline.")):
            wrong[importer, imported] = example
    assert not wrong


def test_every_entry_of_the_table_is_used_and_stands_above_its_row() -> None:
    order, used = list(ROOMS), pairs()
    for name, others in ROOMS.items():
        for other in (other for other in others if other != "pipeline.*"):
            assert (name, other) in used, f"{name} imports nothing of {other}: take it out of the table"
            assert order.index(other) < order.index(name), f"{name} -> {other}"


def test_every_folder_of_ours_is_a_room() -> None:
    folders = {path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    assert {".".join(folder.parts) for folder in folders} == ROOMS.keys()


def test_pipeline_and_schemas_never_import_ray() -> None:
    assert not violations(modules("pipeline", "schemas"), "ray")


def options(source: str) -> list[str]:
    """Words of a command line, such as `--root`, in the texts of a module."""
    if "--" not in source:
        return []
    nodes = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [word for text in nodes if isinstance(text, str) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)]


def test_the_library_knows_no_option_of_the_command_line() -> None:
    assert options("'Lower --workers.'") == ["--workers"]
    below = modules("pipeline", "schemas")
    del below["pipeline.media.face_files"]  # pip's
    assert not {name: found for name, path in below.items() if (found := options(path.read_text()))}


def test_only_s3_its_clients_and_what_its_answers_mean_know_the_client_of_object_stores() -> None:
    own = ("pipeline.storage.s3", "pipeline.storage.s3_answers", "pipeline.storage.s3_clients")
    others = {name: path for name, path in modules(*PACKAGES).items() if name not in own}
    assert not violations(others, "boto3", "botocore", "s3transfer")
    assert violations({"pipeline.storage.s3": ROOT / "pipeline" / "storage" / "s3.py"}, "boto3", "botocore")


def test_losses_metrics_models_and_audio_see_tensors_only() -> None:
    below = {name: path for name, path in modules("pipeline").items() if is_below(name, *TENSORS_ONLY)}
    assert len(below) > 10
    assert not violations(below, "pipeline", "schemas", "json", "pathlib", "os", "io", allowed=KNOWN_TO_TENSORS)


def test_a_job_imports_no_other_job_but_those_that_list_them() -> None:
    lists = ("jobs", "jobs.cli", "jobs.run", "jobs.demo")
    commands = {name: path for name, path in modules("jobs").items() if name not in lists}
    assert not violations(commands, "jobs", allowed=("jobs.console",))


def test_only_media_and_the_synthetic_world_start_another_program() -> None:
    importers = {name: path for name, path in modules(*PACKAGES).items() if not is_below(name, "pipeline.synthetic")}
    found = {line.partition(" ")[0] for line in violations(importers, "subprocess", "ffmpeg", "imageio_ffmpeg")}
    assert found == {
        f"pipeline.media.{name}"
        for name in (
            "clip_video",
            "decode_command",
            "decoding",
            "face_files",
            "ffmpeg_features",
            "muxing",
            "overlay",
            "packets",
            "player_media",
            "sandbox",
            "sound_decoding",
            "still_pictures",
        )
    }, found


def test_nothing_that_is_stored_is_ever_unpickled() -> None:
    assert not violations(
        modules(*PACKAGES), "pickle", "cloudpickle", "dill", "joblib", "shelve", allowed=("pickle.UnpicklingError",)
    )
    sources = {name: path.read_text() for name, path in modules(*PACKAGES).items()}
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)) if "load" in source and "torch" in source else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert safe.get("weights_only") == "True", f"{name}, line {node.lineno}"


def test_every_module_says_what_it_is_in_a_docstring_of_at_least_a_sentence() -> None:
    for name, path in modules(*PACKAGES).items():
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert len(docstring.split()) >= 5, f"{name}: docstring {docstring!r}"


def test_every_pipeline_module_has_a_test_of_its_name() -> None:
    synthetic = {name: "test_synthetic" for name in modules("pipeline") if is_below(name, "pipeline.synthetic")}
    for name in modules("pipeline"):
        if name in ROOMS:
            continue
        expected = (TESTED_BY | synthetic).get(name, f"test_{name.rpartition('.')[2]}")
        assert (ROOT / "tests" / f"{expected}.py").is_file(), f"{name}: no tests/{expected}.py"


def test_the_list_of_exceptions_names_modules_that_exist() -> None:
    assert TESTED_BY.keys() <= modules("pipeline").keys()


def test_tests_and_benchmarks_import_helpers_and_no_test_and_no_benchmark() -> None:
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    importers = modules("benchmarks") | modules("tests")
    assert "tests.helpers.kills" in importers
    assert not violations(importers, "benchmarks", "tests", "helpers", *tests, allowed=("tests.helpers",))
