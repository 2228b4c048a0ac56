"""docs/scale.md: its tables are what `benchmarks/scale.py` prints, and that adds up."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_holds_the_tables_that_are_computed_and_a_cell_of_each_is_so_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    page = (ROOT / "docs" / "scale.md").read_text()
    assert all(table.strip() in page for table in done.stdout.split("\n\n"))
    whole = next(line for line in done.stdout.splitlines() if "`ray_cluster.yaml` in full" in line)
    # 2 500 parts on 16 nodes of 32 cutters: five rounds of 80 videos of 45 s at 0.065 s a second
    assert f"| {5 * 80 * 45 * 0.065 / 60:.0f} min |" in whole
    assert f"| {25.6e6 / 5500 / 60:.0f} min |" in whole  # S3 hands out 5 500 clips a second
    # 25.6 M examples at three passes of 2.61 GFLOP on 4 GPUs that reach a quarter of 30.3 TFLOPS
    few = next(line for line in done.stdout.splitlines() if "four nodes" in line)
    assert f"| {25.6e6 * 3 * 2.61e9 / (4 * 0.25 * 30.3e12) / 60:.0f} min |" in few
    # ten times the vectors in 10**1.43 of the time
    assert f"| {2 * 56.7 * 0.72**1.43 * 26.9 / 60:.0f} min, 6 GiB |" in done.stdout
