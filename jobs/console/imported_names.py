"""Names that imported tables may have: of their view in SQL, and in the reasons of rules that find no value in them."""

import re

from pipeline.errors import ConfigError


def check_import_name(name: str) -> None:
    """Refuse a name for an imported table that something else has, or that is none.

    Raises:
        ConfigError: says which, and what has it.
    """
    from pipeline.reports.querying import taken_names
    from pipeline.selection.filtering import REASONS
    from pipeline.storage.sql_files import TABLE_NAME

    if not re.fullmatch(TABLE_NAME, name):
        raise ConfigError(f"--name {name}: expected a-z, 0-9 and _, beginning with a letter.")
    if name in taken_names():
        raise ConfigError(f"--name {name}: a view of the workspace or a word of SQL has it. Choose another.")
    if f"no_{name}" in REASONS:
        raise ConfigError(
            f"--name {name}: a selection would refuse clips that the table lacks as no_{name}, which is the reason of "
            "a rule that is built in. Choose another."
        )
