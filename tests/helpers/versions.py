"""What a bucket that keeps versions holds of what was replaced and deleted."""

from pipeline.storage import s3_clients

VERSIONED = "versioned"


def kept_versions() -> list[str]:
    """The keys of all versions and delete markers of the bucket, one for each."""
    found = s3_clients.client(VERSIONED).list_object_versions(Bucket=VERSIONED)
    return [item["Key"] for item in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]
