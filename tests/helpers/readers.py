"""A table's folder as other tools open it whole, without a word about its partitions but that they are Hive's."""

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset


def open_with_each(folder: str) -> dict[str, pa.Table]:
    """The rows that pandas, Polars, DuckDB and pyarrow find, by tool."""
    return {
        "pandas": pa.Table.from_pandas(pandas.read_parquet(folder)),
        "polars": polars.scan_parquet(folder, hive_partitioning=True).collect().to_arrow(),
        "duckdb": duckdb.sql(f"FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)").to_arrow_table(),
        "pyarrow": pyarrow.dataset.dataset(folder, partitioning="hive").to_table(),
    }
