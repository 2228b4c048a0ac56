"""The files that are made of one video: put in place together once all has succeeded, and nothing of it before."""

import contextlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from pipeline.errors import ConfigError
from pipeline.storage import files


def check_free(folders: Iterable[str], names: Sequence[str]) -> None:
    """Raises a ConfigError if one of the folders has a file of one of the names."""
    for uri in (files.join(folder, name) for folder in folders for name in names):
        if files.exists(uri):
            raise ConfigError(f"{uri}: is there already.", "overwrite")


def earlier_files(folder: str, record: str, own_names: re.Pattern[str]) -> list[str]:
    """Names of what an earlier run wrote into a folder, as the `files` of its record have them.

    Args:
        folder: path or s3:// address.
        record: name of the JSON file; another program's file of that name names nothing.
        own_names: what a run may have written; other names are not believed, since they are deleted.
    """
    uri = files.join(folder, record)
    try:
        names = json.loads(files.read_bytes(uri))["files"] if files.exists(uri) else []
    except (ValueError, KeyError, TypeError):
        return []
    return [name for name in names if isinstance(name, str) and own_names.fullmatch(name)]


class Outputs:
    """Files to write below a folder; a context, at whose end they are in place, or gone with the folders made for them.

    They are put in place in the order in which they were asked for, so a record that is asked for last says that all
    are there.

    Args:
        folder: path or s3:// address.
        earlier: names of files of an earlier run there, which go unless they are replaced.
    """

    def __init__(self, folder: str, earlier: Iterable[str] = ()) -> None:
        self._folder, self._earlier = folder, set(earlier)
        self._stack = contextlib.ExitStack()
        self._unfinished: list[contextlib.AbstractContextManager[Path]] = []
        self._scratch: Path | None = None
        self.names: list[str] = []
        """Of the files, in the order in which they were asked for."""

    def __enter__(self) -> "Outputs":
        self._stack.enter_context(_without_empty_folders(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(self._delete, self.names if kind is None else ())
                with contextlib.ExitStack() as placing:
                    for unfinished in reversed(self._unfinished):
                        placing.push(unfinished)
                    if error is not None:
                        raise error
                on_failure.pop_all()
            self._delete(self._earlier - set(self.names))

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            files.delete(files.join(self._folder, name))

    def file(self, name: str) -> Path:
        """Where to write a file of that name."""
        self.names.append(name)
        self._unfinished.append(files.building(files.join(self._folder, name)))
        return self._unfinished[-1].__enter__()

    def work_file(self, name: str) -> Path:
        """Where to write what is not to last; on the disk that the files go to, if that is a local one."""
        if self._scratch is None:
            near = files.local_path(self._folder) if files.store_at(self._folder).is_local else None
            if near is not None:
                near.mkdir(parents=True, exist_ok=True)
            made = tempfile.TemporaryDirectory(prefix=".tmp-", dir=near)
            self._scratch = Path(self._stack.enter_context(made))
        return self._scratch / name


@contextlib.contextmanager
def _without_empty_folders(uri: str) -> Iterator[None]:
    """If the block fails, the local folders that it made on the way to `uri` are gone again, if they are empty."""
    made: list[Path] = []
    if files.store_at(uri).is_local:
        path = files.local_path(uri).absolute()
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
