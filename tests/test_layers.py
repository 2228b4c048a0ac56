"""Who may import whom, read from the source with `ast`: house rules that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "pipeline", "jobs", "cluster")
STAGES = (
    "collecting",
    "sharding",
    "scoring",
    "labeling",
    "duplicates",
    "filtering",
    "materializing",
    "auditing",
    "mixing",
    "evaluating",
    "reporting",
    "separating",
)
TENSORS_ONLY = ("pipeline.losses", "pipeline.metrics", "pipeline.models", "pipeline.audio")
# What may be imported below them: each other, and the errors that any module may raise.
KNOWN_TO_TENSORS = (*TENSORS_ONLY, "pipeline.errors")
# Modules tested under another name than test_<module>.py, or whole.
TESTED_BY = {
    "pipeline.errors": "test_media",  # an exception's reason is what the decoder said
    "pipeline.views": "test_sharding",
    "pipeline.samples": "test_tars",
    "pipeline.charts": "test_reporting",
    "pipeline.page": "test_reporting",
    "pipeline.loudness": "test_levels",
    "pipeline.decoded": "test_media",
    "pipeline.decoderlog": "test_media",
    "pipeline.learners.common": "test_augmentation",
    "pipeline.learners.coincidence": "test_coincidence_learner",
    "pipeline.learners.separation": "test_separation_learner",
    "pipeline.metrics.separation": "test_separation_metrics",
    "pipeline.models.bases": "test_separation_model",
    "pipeline.models.coincidence": "test_coincidence_model",
    "pipeline.models.plain": "test_coincidence_model",
    "pipeline.models.onscreen": "test_separation_model",
    "pipeline.models.separation": "test_separation_model",
    "pipeline.models.tdcn": "test_separation_model",
}


def modules(*packages: str) -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package's own file under the package's name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in the file; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    assert list(imports(path)) == ["ray.data", "pipeline.media", "x.y.z", "x.y.w"]
    assert violations({"a": path}, "ray", "pipeline") == ["a <- ray.data", "a <- pipeline.media"]
    assert violations({"a": path}, "pipeline", allowed=("pipeline.media",)) == []


@pytest.mark.parametrize("package", ["schemas", "cluster"])
def test_schemas_and_cluster_import_nothing_of_ours_but_themselves(package: str) -> None:
    assert not violations(modules(package), *PACKAGES, allowed=(package,))


def test_pipeline_imports_schemas_and_itself_only() -> None:
    assert not violations(modules("pipeline"), "jobs", "cluster")


def test_pipeline_and_schemas_never_import_ray() -> None:
    assert not violations(modules("pipeline", "schemas"), "ray")


def test_stages_meet_on_disk_and_never_import_one_another() -> None:
    found = []
    for stage in STAGES:
        others = [f"pipeline.{other}" for other in STAGES if other != stage]
        found += violations({k: v for k, v in modules("pipeline").items() if k == f"pipeline.{stage}"}, *others)
    assert not found


def test_what_stages_share_imports_no_stage() -> None:
    stages = [f"pipeline.{stage}" for stage in STAGES]
    shared = {k: v for k, v in modules("pipeline").items() if k not in (*stages, "pipeline.planning")}
    assert not violations(shared, *stages)


def test_planning_imports_the_stages_whose_cost_it_estimates_and_no_others() -> None:
    planning = {k: v for k, v in modules("pipeline").items() if k == "pipeline.planning"}
    stages = [f"pipeline.{stage}" for stage in STAGES]
    assert not violations(planning, *stages, allowed=("pipeline.collecting", "pipeline.sharding"))


def test_only_s3_knows_the_client_of_object_stores() -> None:
    others = {name: path for name, path in modules(*PACKAGES).items() if name != "pipeline.s3"}
    assert not violations(others, "boto3", "botocore", "s3transfer")
    assert violations({"pipeline.s3": ROOT / "pipeline" / "s3.py"}, "boto3")


def test_losses_metrics_models_and_audio_see_tensors_only() -> None:
    below = {name: path for name, path in modules("pipeline").items() if is_below(name, *TENSORS_ONLY)}
    assert len(below) > 10
    assert not violations(below, "pipeline", "schemas", "json", "pathlib", "os", "io", allowed=KNOWN_TO_TENSORS)


def test_a_job_imports_no_other_job_but_those_that_list_them() -> None:
    helpers = ("jobs.session", "jobs.options", "jobs.presets", "jobs.progress", "jobs.tables", "jobs.plan_table")
    lists = ("jobs", "jobs.cli", "jobs.run", "jobs.demo")
    commands = {name: path for name, path in modules("jobs").items() if name not in lists}
    assert not violations(commands, "jobs", allowed=helpers)


def test_only_media_and_the_synthetic_world_start_another_program() -> None:
    importers = {name: path for name, path in modules(*PACKAGES).items() if not is_below(name, "pipeline.synthetic")}
    found = {line.partition(" ")[0] for line in violations(importers, "subprocess", "ffmpeg", "imageio_ffmpeg")}
    assert found <= {"pipeline.media", "pipeline.separating"}, found


def test_nothing_that_is_stored_is_ever_unpickled() -> None:
    assert not violations(
        modules(*PACKAGES), "pickle", "cloudpickle", "dill", "joblib", "shelve", allowed=("pickle.UnpicklingError",)
    )
    for name, path in modules(*PACKAGES).items():
        for node in ast.walk(ast.parse(path.read_text())):
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
        if name in ("pipeline", "pipeline.learners", "pipeline.losses", "pipeline.metrics", "pipeline.models"):
            continue
        expected = (TESTED_BY | synthetic).get(name, f"test_{name.rpartition('.')[2]}")
        assert (ROOT / "tests" / f"{expected}.py").is_file(), f"{name}: no tests/{expected}.py"


def test_the_list_of_exceptions_names_modules_that_exist() -> None:
    assert TESTED_BY.keys() <= modules("pipeline").keys()
