"""Media made by ffmpeg: a minute of 720p, and longer videos that repeat it without encoding anew."""

import subprocess
from pathlib import Path

from pipeline.media.sandbox import ffmpeg_path

# Moving shapes, text and film grain at 2.5 Mbit/s: about what a phone's video costs to decode (48 ms per second).
PICTURE = "testsrc2=s=1280x720:r=30:d=60,noise=alls=12:allf=t"
SOUND = "anoisesrc=color=pink:r=44100:d=60:a=0.3"
CODECS = "-c:v libx264 -preset veryfast -b:v 2500k -bf 3 -pix_fmt yuv420p -c:a aac -shortest"


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg, which overwrites; an error is printed and raised."""
    subprocess.run([ffmpeg_path(), "-y", "-v", "error", *arguments], check=True, stdin=subprocess.DEVNULL)


def minute_of_720p(folder: Path) -> Path:
    """minute.mp4 in the folder."""
    path = folder / "minute.mp4"
    ffmpeg("-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND, *CODECS.split(), path)
    return path


def repeated(minute: Path, times: int, path: Path) -> Path:
    """The minute, so many times in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ffmpeg("-stream_loop", str(times - 1), "-i", minute, "-c", "copy", path)
    return path
