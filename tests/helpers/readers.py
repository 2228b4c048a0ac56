"""A table's folder as other tools open it whole, without a word about its partitions but that they are Hive's."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs


def open_with_each(folder: str) -> dict[str, pa.Table]:
    """The rows that pandas, Polars, DuckDB, its own command line (texts alone) and pyarrow find, by tool."""
    return {
        "pandas": pa.Table.from_pandas(pandas.read_parquet(folder)),
        "polars": polars.scan_parquet(folder, hive_partitioning=True).collect().to_arrow(),
        "duckdb": duckdb.sql(f"FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)").to_arrow_table(),
        "duckdb's command line": _by_command_line(folder),
        "pyarrow": pyarrow.dataset.dataset(folder, partitioning="hive").to_table(),
    }


def open_in_bucket(folder: str) -> dict[str, pa.Table]:
    """The rows that pandas, Polars and pyarrow find at an s3:// address, by the usual variables of the environment.

    DuckDB reads buckets by an extension that it fetches first, for which a test has no network.
    """
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    bucket = pyarrow.fs.S3FileSystem(endpoint_override=endpoint, region="us-east-1")
    path = folder.removeprefix("s3://")
    options = {"aws_endpoint_url": endpoint, "aws_allow_http": "true", "aws_region": "us-east-1"}
    rows = polars.scan_parquet(f"{folder}/", hive_partitioning=True, storage_options=options)
    return {
        "pandas": pa.Table.from_pandas(pandas.read_parquet(path, filesystem=bucket)),
        "polars": rows.collect().to_arrow(),
        "pyarrow": pyarrow.dataset.dataset(path, partitioning="hive", filesystem=bucket).to_table(),
    }


def _by_command_line(folder: str) -> pa.Table:
    command = Path(sys.executable).parent / "duckdb"
    sql = f"FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    text = subprocess.run([command, "-csv", "-c", sql], check=True, capture_output=True, text=True).stdout
    names, *rows = csv.reader(io.StringIO(text))
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
