"""Whether the sound decides which pixels sound: a trained model of masks on held-out videos of a synthetic world.

Usage: python -m benchmarks.segmentation_world ROOT [--model segmentation] [--seed 0]

ROOT is a workspace after `earshot demo --system segmentation`, whose videos are a world's with its truth beside them;
nothing is written. Frames of the test split are sorted by what is in view, of which the truth has every silhouette:

one sounds      one thing is in view, and it sounds
two, any        two things are in view, and one or both sound
two, one        two things are in view, and exactly one sounds

Shown are mIoU and the best trivial mask (nothing, all, or a centred ellipse of the mean area of these very frames); for
`two, one` the share of frames whose predicted mask has a higher IoU with the thing that sounds than with the other one,
where equal ones count half. Last, the share of scenes in which another sound moves the mask: a stem of the silent
thing's kind, from another held-out video, lowers the mean probability on the thing that sounded and raises it on the
other one. Of both, 50 % and 25 % are chance. Intervals of 95 % are over videos.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch

from pipeline.learners.loading import load_model
from pipeline.learners.sources import load_sets
from pipeline.masks.mask_pictures import resize_mask
from pipeline.masks.masked_clips import MaskedClip
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.mask_overlap import MIN_SCORE, centred_ellipse, overlap
from pipeline.storage.workspace import Workspace
from pipeline.synthetic.truth import STEM_RATE_HZ, Truth, is_active, load_truth


class View(NamedTuple):
    """One frame with a mask of a held-out clip, and every thing that is in view."""

    video: str
    clip: int
    frame: int
    time_s: float
    truth: np.ndarray
    """[H, W] what sounds."""
    silhouettes: np.ndarray
    """[things in view, H, W]"""
    kinds: list[str]
    """Of the things in view."""
    sounds: list[bool]
    """Of the things in view."""
    own: np.ndarray
    """[H, W] probabilities with the clip's own sound."""
    muted: np.ndarray


class Judge:
    """A model, and what it says of frames with a sound."""

    def __init__(self, workspace: Workspace, model: str) -> None:
        self.learner, self.network = load_model(workspace, model, "segmentation")
        self.device = next(self.network.parameters()).device

    @torch.inference_mode()
    def __call__(self, clip: MaskedClip, waveform: np.ndarray) -> np.ndarray:
        """[K, H, W] float32."""
        frames = torch.from_numpy(clip.frames)[None].to(self.device).float() / 255
        found = self.learner.predict(self.network, frames, torch.from_numpy(waveform)[None].to(self.device))
        return found[0].float().cpu().numpy()


def truth_of(clip: MaskedClip) -> tuple[Path, Truth]:
    """The folder of the world that a clip is of, and what is known of its video."""
    uri = Path(clip.facts["uri"])
    return uri.parent.parent, load_truth(uri.parent.parent, uri.stem)


def views(number: int, clip: MaskedClip, truth: Truth, judge: Judge) -> Iterator[View]:
    """Every frame of a clip that has a mask."""
    own, muted = judge(clip, clip.waveform), judge(clip, np.zeros_like(clip.waveform))
    scene, silhouettes, size = truth.scene, truth.silhouettes, clip.masks.shape[1:]
    if silhouettes is None:
        raise SystemExit(f"{scene.name}: its truth has no silhouettes. Render the world again.")
    kinds = [source.kind for source in scene.sources] + [thing.kind for thing in scene.still]
    for frame in np.flatnonzero(clip.mask_valid):
        time_s = clip.facts["frame_times_s"][frame]
        seen = [thing for thing, shape in enumerate(silhouettes[:, int(time_s)]) if shape.any()]
        yield View(
            video=clip.facts["video_id"],
            clip=number,
            frame=int(frame),
            time_s=time_s,
            truth=clip.masks[frame],
            silhouettes=np.array([resize_mask(silhouettes[thing, int(time_s)], *size) for thing in seen]),
            kinds=[kinds[thing] for thing in seen],
            sounds=[thing < len(scene.sources) and is_active(scene.sources[thing], time_s) for thing in seen],
            own=own[frame],
            muted=muted[frame],
        )


def shown(values: list[float], videos: list[str]) -> str:
    """Mean, its interval over videos, and how many values and videos there are."""
    array = np.array(values)
    low, high, num_videos = bootstrap_interval(lambda drawn: float(array[drawn].mean()), np.array(videos))
    bounds = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    return f"{array.mean():.3f}{bounds} | {len(values)} frames of {num_videos} videos"


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(overlap(truth[None], predicted[None]).iou()[0])


def report_overlap(name: str, chosen: list[View]) -> None:
    """mIoU of a set of frames, and of the best trivial mask of the same frames."""
    if not chosen:
        print(f"| {name} | no such frame | | |")
        return
    videos = [view.video for view in chosen]
    height, width = chosen[0].truth.shape
    ellipse = centred_ellipse(height, width, float(np.mean([view.truth.mean() for view in chosen])))
    trivial = {"empty": np.zeros_like(ellipse), "full": np.ones_like(ellipse), "ellipse": ellipse}
    reached = {of: float(np.mean([iou(mask, view.truth) for view in chosen])) for of, mask in trivial.items()}
    best = max(reached, key=lambda of: reached[of])
    for sound in ("own", "muted"):
        values = [iou(getattr(view, sound) > MIN_SCORE, view.truth) for view in chosen]
        print(f"| {name}, mIoU, {sound} sound | {shown(values, videos)} | {best} {reached[best]:.3f} |", flush=True)


def report_preference(chosen: list[View]) -> None:
    """Share of frames whose mask fits the thing that sounds better than the other one, with each sound."""
    for sound in ("own", "muted") if chosen else ():
        values = []
        for view in chosen:
            of_first, of_second = (iou(getattr(view, sound) > MIN_SCORE, shape) for shape in in_order(view))
            values.append(float(of_first > of_second) + 0.5 * float(of_first == of_second))
        ties = np.mean([value == 0.5 for value in values])
        found = shown(values, [view.video for view in chosen])
        print(f"| two, one: nearer to what sounds, {sound} sound ({ties:.1%} equal) | {found} | 0.500 |", flush=True)


def in_order(view: View) -> np.ndarray:
    """[2, H, W] the silhouette of the thing that sounds, and of the other one."""
    return view.silhouettes if view.sounds[0] else view.silhouettes[::-1]


def report_swapped(
    chosen: list[View], clips: Any, truths: list[tuple[Path, Truth]], judge: Judge, rng: np.random.Generator
) -> None:
    """Share of scenes in which a stem of the silent thing's kind moves the probability from one thing to the other."""
    scenes: dict[tuple[int, str], list[View]] = {}  # a scene may have either thing sound, at different times
    for view in chosen:
        scenes.setdefault((view.clip, view.kinds[int(view.sounds[0])]), []).append(view)
    moved: dict[str, list[float]] = {"both": [], "falls on the first": [], "rises on the second": []}
    videos = []
    for (number, kind), of_scene in scenes.items():
        stem = find_stem(kind, number, [view.time_s for view in of_scene], truths, rng)
        if stem is None:
            continue
        place, source, active = stem
        clip = clips.read(number)
        begin = round(clip.facts["start_s"] * STEM_RATE_HZ)
        waveform, _ = soundfile.read(place / f"stem_{source}.flac", dtype="float32")
        waveform = waveform[begin : begin + len(clip.waveform)]
        other = judge(clip, np.pad(waveform, (0, len(clip.waveform) - len(waveform))))
        changes = np.array(
            [
                [float(other[view.frame][shape].mean() - view.own[shape].mean()) for shape in in_order(view)]
                for view in of_scene
                if view.time_s in active
            ]
        ).mean(axis=0)
        falls, rises = changes[0] < 0, changes[1] > 0
        for name, is_so in zip(moved, (falls and rises, falls, rises), strict=True):
            moved[name].append(float(is_so))
        videos.append(of_scene[0].video)
    for (name, values), chance in zip(moved.items(), ("0.250", "0.500", "0.500"), strict=True):
        if values:
            print(
                f"| other sound: {name} | {shown(values, videos).replace('frames', 'scenes')} | {chance} |", flush=True
            )


def find_stem(
    kind: str, number: int, times_s: list[float], truths: list[tuple[Path, Truth]], rng: np.random.Generator
) -> tuple[Path, int, set[float]] | None:
    """Of another video's sources of a kind one that sounds at most of these times: its place, number, those times."""
    found = []
    for other in rng.permutation(len(truths)):
        folder, truth = truths[other]
        place = folder / "truth" / truth.scene.name
        for source, of in enumerate(truth.scene.sources):
            active = {time_s for time_s in times_s if is_active(of, time_s)}
            if truth.scene.name != truths[number][1].scene.name and of.kind == kind and active:
                found.append((place, source, active))
    return max(found, key=lambda stem: len(stem[2]), default=None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--model", default="segmentation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    workspace = Workspace(options.root)
    judge = Judge(workspace, options.model)
    settings = workspace.stage(f"models/{options.model}")["settings"]
    parts = workspace.parts("clips/segmentation")
    (clips,) = load_sets(workspace, judge.learner, settings, ("test",), parts)
    truths, found = [], []
    for number in range(len(clips)):
        clip = clips.read(number)
        truths.append(truth_of(clip))
        found += views(number, clip, truths[-1][1], judge)
    one = [view for view in found if view.sounds == [True]]
    several = [view for view in found if len(view.sounds) == 2 and any(view.sounds)]
    apart = [view for view in several if not all(view.sounds)]
    shares = {"one sounds": len(one), "two, one": len(apart), "two, both": len(several) - len(apart)}
    said = ", ".join(f"{name} {count / max(1, len(found)):.0%}" for name, count in shares.items())
    print(f"{len(clips)} clips of {clips.num_videos} held-out videos, {len(found)} frames: {said}\n")
    print("| of | value | n | trivial or chance |\n|---|---|---|---|")
    report_overlap("one sounds", one)
    report_overlap("two, any", several)
    report_overlap("two, one", apart)
    report_preference(apart)
    report_swapped(apart, clips, truths, judge, np.random.default_rng(options.seed))


if __name__ == "__main__":
    main()
