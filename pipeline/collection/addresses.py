"""Spellings of an address -> the one address of the video, by which its rows, labels and copies meet.

`a.mp4`, `./a.mp4`, an absolute path to it and `file://` are one file. The folder of a video is resolved, links and all;
a link that is itself a video keeps its name, as in the listing of a folder. A name with accents is found on the local
disk whether it is composed there (NFC) or decomposed (NFD, as macOS writes).

Design note: keys of an object store are opaque, so `a//b` and `a/./b` of an s3:// address stay two objects. Only `.` of
a relative address is dropped there.
"""

import os
import posixpath
import unicodedata

from pipeline.storage import files


def is_relative(address: str) -> bool:
    """Whether an address is a path below its table's folder."""
    return "://" not in address and not address.startswith("/")


def plain(address: str) -> str:
    """An address without `.`, double slashes and the escapes of file://; that of an object as it is.

    >>> plain("./v//a.mp4"), plain("file:///v/a%20b.mp4"), plain("s3://bucket/v//a.mp4")
    ('v/a.mp4', '/v/a b.mp4', 's3://bucket/v//a.mp4')
    """
    if not files.names_file(address) or not files.store_at(address).is_local:
        return address
    return files.to_uri(files.local_path(address))


class Resolver:
    """Resolves the addresses of one table; what the disk says of a folder is asked once.

    Args:
        base: folder or s3:// prefix of relative addresses, absolute.
    """

    def __init__(self, base: str) -> None:
        self._base, self._is_local = base, files.store_at(base).is_local
        self._folders: dict[str, str] = {}
        self._names: dict[str, dict[str, list[str]]] = {}

    def __call__(self, address: str) -> str:
        """The address without links in its folder, as text; that of an object as it is."""
        if is_relative(address):
            if not self._is_local:
                return files.join(self._base, *(name for name in address.split("/") if name != "."))
            address = f"{self._base}/{address}"
        elif address.startswith("file://"):
            address = os.fspath(files.local_path(address))
        elif "://" in address:
            return address
        folder, name = posixpath.split(address.rstrip("/"))
        return files.to_uri(self._find(self._resolve(folder), name))

    def relative(self, uri: str) -> str:
        """A resolved address below the base, or the whole address if it lies elsewhere."""
        base = self._resolve(self._base) if self._is_local else self._base
        return files.relative(uri, base)

    def _resolve(self, folder: str) -> str:
        if folder not in self._folders:
            parent, name = os.path.split(folder)
            found = folder
            if not folder.isascii() and parent != folder and not os.path.lexists(folder):
                found = self._find(self._resolve(parent), name)
            self._folders[folder] = os.path.realpath(found)
        return self._folders[folder]

    def _find(self, folder: str, name: str) -> str:
        """A file or folder by its name, or by the only other one whose name is the same in composed characters."""
        path = f"{folder.rstrip('/')}/{name}"
        if name.isascii() or os.path.lexists(path):
            return path
        if folder not in self._names:
            names = self._names[folder] = {}
            for there in os.listdir(folder) if os.access(folder, os.R_OK) else ():
                names.setdefault(unicodedata.normalize("NFC", there), []).append(there)
        same = self._names[folder].get(unicodedata.normalize("NFC", name), [])
        return posixpath.join(folder, same[0]) if len(same) == 1 else path
