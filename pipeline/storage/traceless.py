"""One object that is replaced and removed and leaves no versions behind on a bucket that keeps them.

A lease is replaced every 20 s: 180 versions an hour. Here each version is deleted by its id once the next one is there,
and the last one at the end; no delete marker is written. That takes the right s3:DeleteObjectVersion. Without it, and
where a process is killed, versions stay, and the rule of docs/cluster.md removes them.

Design note: versions go from the oldest to the newest. The other way round, an older one that could not be deleted
would be the object again.
"""

from typing import Any

from pipeline.storage import files
from pipeline.storage.s3 import created, locate


class TracelessObject:
    """An object that one process writes, and removes.

    Args:
        uri: its s3:// address.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._s3, self._place = locate(uri)
        self._data = b""
        self._versions: list[str] = []  # of ours, the oldest first; empty on a bucket that keeps none

    def create(self, data: bytes) -> bool:
        """Put the object in place if none is there; return whether that was done. See `files.create_bytes`."""
        answer = created(self.uri, data)
        if answer is not None:
            self._data = data
            self._note(answer)
        return answer is not None

    def replace(self, data: bytes) -> None:
        """Put another content in its place, whoever wrote the one that is there."""
        self._note(self._s3.put_object(**self._place, Body=data))
        self._data = data
        self._forget(1)

    def remove(self) -> bool:
        """Remove what this process wrote, and nothing that another one has put in its place since.

        Returns:
            Whether no version of it stays.
        """
        if self._versions and self._forget(0):
            return True
        files.delete_if(self.uri, self._data)
        return not self._versions

    def _note(self, answer: dict[str, Any]) -> None:
        if answer.get("VersionId", "null") != "null":  # the one version of a bucket that keeps no more versions
            self._versions.append(answer["VersionId"])

    def _forget(self, keep: int) -> bool:
        """Delete own versions but for the newest ones; return whether that may be done."""
        while len(self._versions) > keep:
            try:
                self._s3.delete_object(**self._place, VersionId=self._versions[0])
            except files.remote_errors():  # the right is missing: the last version is removed as any object is
                return False
            del self._versions[0]
        return True
