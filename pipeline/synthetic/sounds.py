"""What each kind sounds like: waveforms from notes, so that a kind is known by its timbre at any pitch and rhythm.

Comes in: a source and a length. Goes out: its mono waveform at `RATE_HZ`, of root mean square 1 while it is active and
exactly 0 outside its spans. Filters are applied in the frequency domain over the whole waveform: no recursion, so a
second of sound costs about 5 ms.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from pipeline.synthetic.identities import identity
from pipeline.synthetic.kinds import FRICATIVE
from pipeline.synthetic.motions import Motion, trapezoids, vowel_weights
from pipeline.synthetic.scenes import Source

RATE_HZ = 32000
FADE_S = 0.02  # at both ends of a span: a cut would be heard as a click of no kind
PADDING_S = 1  # silence behind a waveform before it is filtered, so that its end does not leak into its start

Waveform = NDArray[np.float32]
Floats = NDArray[np.floating]

# (F1, F2) in Hz for the vowels a e i o u of an average adult (Peterson and Barney 1952, rounded), and the loudness: an
# open mouth is louder than a narrow one.
VOWELS_SOUND = ((730, 1090, 1.0), (530, 1840, 0.75), (270, 2290, 0.5), (570, 840, 0.85), (300, 870, 0.55))

# (frequency over that of the prime, height) of a bell's hum, prime, tierce, quint, nominal, ...
BELL_PARTIALS = ((0.5, 0.5), (1, 0.8), (1.183, 1), (1.506, 0.6), (2, 1), (2.62, 0.7), (3.01, 0.5), (4.17, 0.4))


def synthesize(source: Source, num_samples: int) -> Waveform:
    """[T] what `source` sounds like at `RATE_HZ`: RMS 1 over its spans, 0 outside them."""
    rng = np.random.default_rng(source.seed)
    motion = Motion(source.notes, source.spans)
    t = np.arange(num_samples) / RATE_HZ
    gate = motion.active(t, FADE_S)
    waveform = VOICES[source.kind](source, motion, t, rng) * gate
    power = np.square(waveform, dtype=np.float64).sum() / max(1, np.count_nonzero(gate))
    return (waveform / np.sqrt(power + 1e-20)).astype(np.float32)


def resample(waveform: Waveform, rate_hz: int, new_rate_hz: int) -> Waveform:
    """The waveform [T] at `new_rate_hz`, as long in seconds, band-limited by cutting or padding its spectrum."""
    if rate_hz == new_rate_hz:
        return waveform
    seconds = _padded_s(len(waveform), rate_hz)
    num_samples = round(len(waveform) * new_rate_hz / rate_hz)
    spectrum = rfft(waveform, seconds * rate_hz)
    return irfft(spectrum, seconds * new_rate_hz)[:num_samples].astype(np.float32) * (new_rate_hz / rate_hz)


def _padded_s(num_samples: int, rate_hz: int) -> int:
    """Whole seconds that hold the samples and `PADDING_S` more: with no prime factor above 5, which makes FFTs fast."""
    seconds = -(-num_samples // rate_hz) + PADDING_S
    while 60**10 % seconds:
        seconds += 1
    return seconds


def _filtered(waveform: Floats, response: Callable[[Floats], Floats]) -> Waveform:
    """The waveform through a zero-phase filter: `response` gives the gain at frequencies in Hz."""
    length = _padded_s(len(waveform), RATE_HZ) * RATE_HZ
    spectrum = rfft(waveform.astype(np.float32), length)
    spectrum *= response(np.arange(len(spectrum), dtype=np.float32) * np.float32(RATE_HZ / length))
    return irfft(spectrum, length)[: len(waveform)].astype(np.float32)


def _bump(frequency_hz: Floats, centre_hz: float, octaves: float) -> Floats:
    """A resonance: 1 at its centre, 1/e at `octaves` above and below."""
    return np.exp(-np.square(np.log2(np.maximum(frequency_hz, 1.0) / centre_hz) / octaves))


def _at_onsets(motion: Motion, num_samples: int, strike: Callable[[int], Waveform]) -> Waveform:
    """Sum over notes of `strike(note number)` times the note's strength, each starting at its onset."""
    waveform = np.zeros(num_samples, np.float32)
    for number, note in enumerate(motion.notes):
        first = round(note.start_s * RATE_HZ)
        sound = strike(number)[: max(0, num_samples - first)]
        waveform[first : first + len(sound)] += note.strength * sound
    return waveform


def _wave(phase: Floats, amplitudes: Floats) -> Waveform:
    """A periodic tone: `phase` in turns, `amplitudes` of harmonics 1, 2, ..., through a table of one period."""
    turns = np.arange(4096) / 4096
    harmonics = np.arange(1, len(amplitudes) + 1)
    table = (amplitudes[:, None] * np.sin(2 * np.pi * harmonics[:, None] * turns)).sum(axis=0).astype(np.float32)
    return table[(phase * 4096).astype(np.int64) & 4095]


def _phase(frequency_hz: Floats) -> Floats:
    """Turns since the start of a tone whose frequency is given at every sample."""
    return np.cumsum(frequency_hz) / RATE_HZ


def _pitch(motion: Motion, t: Floats, slew_s: float) -> Floats:
    """The melody at every sample, sliding from note to note within `slew_s`."""
    return motion.glide(t, np.array([note.pitch_hz for note in motion.notes]), slew_s)


def _noise(num_samples: int, rng: np.random.Generator) -> Waveform:
    return rng.standard_normal(num_samples, dtype=np.float32)


def _drum(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A falling low tone under a short dull hiss."""
    local = np.arange(int(0.5 * RATE_HZ)) / RATE_HZ
    fall = source.pitch_hz * (1 + 0.8 * np.exp(-local / 0.03))
    tone = np.sin(2 * np.pi * _phase(fall)) * np.exp(-local / 0.09)
    skin = _filtered(_noise(len(local), rng), lambda f: _bump(f, 350, 1.2)) * np.exp(-local / 0.05)
    skin /= np.abs(skin).max()
    hit = (tone + 0.6 * skin).astype(np.float32)
    return _at_onsets(motion, len(t), lambda number: hit)


def _bell(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """The inharmonic partials of a church bell, the high ones dying first."""
    local = np.arange(int(1.6 * RATE_HZ)) / RATE_HZ
    strike = np.zeros(len(local))
    for ratio, height in BELL_PARTIALS:
        detuned = source.pitch_hz * ratio * (1 + 0.004 * rng.uniform(-1, 1))
        strike += height * np.sin(2 * np.pi * detuned * local) * np.exp(-local / (0.9 / ratio**0.7))
    sound = strike.astype(np.float32)
    return _at_onsets(motion, len(t), lambda number: sound)


def _guitar(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """Karplus-Strong strings: noise through the loop 1 / (1 - g (1 + z^-1) / 2 z^-N), solved on the FFT grid."""
    length = 2 * RATE_HZ
    turns = np.arange(length // 2 + 1) / length
    burst = np.zeros(length, np.float32)
    plucks: dict[float, Waveform] = {}
    for pitch_hz in sorted({note.pitch_hz for note in motion.notes}):
        period = RATE_HZ / pitch_hz
        burst[:] = 0
        burst[: int(period)] = rng.uniform(-1, 1, int(period))
        loop = 0.994 * np.cos(np.pi * turns) * np.exp(-2j * np.pi * turns * period)
        pluck = irfft(rfft(burst) / (1 - loop) * _bump(turns * RATE_HZ, 400, 3.5), length)
        plucks[pitch_hz] = (pluck / np.abs(pluck).max()).astype(np.float32)[: int(1.2 * RATE_HZ)]

    def strike(number: int) -> Waveform:
        pluck = plucks[motion.notes[number].pitch_hz]
        following = motion.notes[number + 1].start_s if number + 1 < len(motion.notes) else 1e6
        damped = int((following - motion.notes[number].start_s + 0.05) * RATE_HZ)  # the next pluck stops the string
        return pluck[: max(damped, 1)]

    return _at_onsets(motion, len(t), strike)


def _violin(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A sawtooth with vibrato through the body's resonances, with a little bow noise."""
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * (5.5 * t + rng.random()))
    phase = _phase(_pitch(motion, t, 0.03) * vibrato)
    count = int(0.45 * RATE_HZ / (2 * source.pitch_hz))
    bowed = _wave(phase, 1 / np.arange(1, count + 1)) + 0.05 * _noise(len(t), rng)
    bowed *= motion.level(t, 0.07, 0.07).astype(np.float32)
    return _filtered(bowed, lambda f: 0.15 + _bump(f, 480, 0.4) + 1.3 * _bump(f, 2800, 0.7) + 0.5 * _bump(f, 1100, 0.4))


def _bird(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """Whistles that sweep up or down by half an octave or more."""

    def chirp(number: int) -> Waveform:
        note = motion.notes[number]
        local = np.arange(int(note.duration_s * RATE_HZ)) / RATE_HZ
        sweep = (local / max(note.duration_s, 1e-3) - 0.5) * (1.0 if note.shape else -1.0)
        phase = _phase(note.pitch_hz * 2.0 ** (0.8 * sweep))
        swell = np.sin(np.pi * local / note.duration_s)
        return (swell * (np.sin(2 * np.pi * phase) + 0.15 * np.sin(4 * np.pi * phase))).astype(np.float32)

    return _at_onsets(motion, len(t), chirp)


def _engine(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A train of uneven low bangs over rumble; the notes are the speeds it glides between."""
    turns = np.floor(_phase(_pitch(motion, t, 0.25)))
    firing = np.flatnonzero(np.diff(turns, prepend=-1.0))
    bangs = np.zeros(len(t), np.float32)
    bangs[firing] = 1 + 0.5 * (np.arange(len(firing)) % 4 == 0) + 0.25 * rng.standard_normal(len(firing))
    bangs += 0.012 * _noise(len(t), rng)

    def muffler(f: Floats) -> Floats:
        poles = ((75.0, 12.0, 1.0), (160.0, 25.0, 0.8), (410.0, 80.0, 0.6), (800.0, 250.0, 0.3))
        resonances = [height / (1 + 1j * (f - centre) / width) for centre, width, height in poles]
        return np.sum(resonances, axis=0) * f / (f + 40)

    muffled = _filtered(bangs, muffler)
    return np.tanh(muffled / (2.5 * muffled.std() + 1e-9))


def _speaker(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A glottal tone crossfaded between vowels' formants as `vowel_weights` says; half of them start with a hiss."""
    person = identity(source.identity or 0)
    fall = motion.glide(t, np.array([note.pitch_hz for note in motion.notes]), 0.08)
    count = int(0.45 * RATE_HZ / (1.3 * person.pitch_hz))
    glottis = _wave(_phase(fall * (1 + 0.01 * np.sin(2 * np.pi * 3.1 * t))), np.arange(1, count + 1) ** -1.3)
    glottis += person.breath * _noise(len(t), rng)
    length = _padded_s(len(t), RATE_HZ) * RATE_HZ
    spectrum = rfft(glottis, length)
    f = np.arange(len(spectrum), dtype=np.float32) * np.float32(RATE_HZ / length)
    voice = np.zeros(len(t), np.float32)
    for weight, (first_hz, second_hz, loudness) in zip(vowel_weights(t, motion.notes), VOWELS_SOUND, strict=True):
        scale = person.formant_scale
        tract = _bump(f, first_hz * scale, 0.28) + 0.6 * _bump(f, second_hz * scale, 0.2)
        tract += 0.25 * _bump(f, 2900 * scale, 0.25) + 0.01
        said = irfft(spectrum * tract, length)[: len(t)].astype(np.float32)
        voice += (weight * loudness / (said.std() + 1e-9)).astype(np.float32) * said
    hisses = [(n.start_s, 0.06, 0.5 * n.strength) for n in motion.notes if n.shape >= FRICATIVE]
    hiss = _filtered(_noise(len(t), rng), lambda f: _bump(f, 5000, 0.4))
    return voice + 0.8 * trapezoids(t, hisses, 0.02, 0.03).astype(np.float32) * hiss


def _siren(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A nearly pure tone that rises and falls by an octave once per turn of its light."""
    octaves = 0.5 - 0.5 * np.cos(2 * np.pi * motion.turns(t))
    phase = _phase(source.pitch_hz * 2.0**octaves)
    return _wave(phase, np.array([1.0, 0.0, 0.3, 0.0, 0.15]))


def _water(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """Splashing noise that flutters, with a rising bubble at every drop."""
    splash = _filtered(_noise(len(t), rng), lambda f: _bump(f, 1.6 * source.pitch_hz, 1.1))
    knots = np.arange(0, t[-1] + 0.1, 0.05)
    flutter = np.interp(t, knots, rng.uniform(0.4, 1.0, len(knots)))
    splash *= (flutter * (0.6 + 0.4 * motion.pulse(t, 0.08)) / (np.abs(splash).std() + 1e-9)).astype(np.float32)

    def bubble(number: int) -> Waveform:
        local = np.arange(int(0.09 * RATE_HZ)) / RATE_HZ
        phase = _phase(motion.notes[number].pitch_hz * (1 + 4 * local))
        return (np.sin(2 * np.pi * phase) * np.exp(-local / 0.025)).astype(np.float32)

    return 0.35 * splash + 0.9 * _at_onsets(motion, len(t), bubble)


def _clock(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """Dry clicks of a small metal body, tick and tock a third apart."""
    local = np.arange(int(0.1 * RATE_HZ)) / RATE_HZ
    clicks = []
    for ratio in (1.0, 0.8):
        modes = ((1.0, 1.0, 0.035), (1.73, 0.7, 0.02), (2.41, 0.5, 0.012))
        click = sum(
            h * np.sin(2 * np.pi * source.pitch_hz * ratio * m * local) * np.exp(-local / d) for m, h, d in modes
        )
        clicks.append(np.asarray(click, np.float32))
    return _at_onsets(motion, len(t), lambda number: clicks[motion.notes[number].shape])


def _trombone(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """A steady brass tone that slides between notes; played louder, it gets brighter."""
    phase = _phase(_pitch(motion, t, 0.08))
    level = motion.level(t, 0.05, 0.08).astype(np.float32)
    harmonics = np.arange(1, 25)
    dull, bright = _wave(phase, 0.45**harmonics * 2), _wave(phase, np.exp(-np.square((harmonics - 4) / 4.0)))
    return _filtered(level * (dull + level * bright), lambda f: 0.05 + _bump(f, 550, 1.3))


def _maraca(source: Source, motion: Motion, t: Floats, rng: np.random.Generator) -> Waveform:
    """Bursts of high hiss, one per shake."""
    hiss = _filtered(_noise(len(t), rng), lambda f: _bump(f, source.pitch_hz, 0.35))
    return hiss * motion.level(t, 0.02, 0.12).astype(np.float32)


VOICES: dict[str, Callable[[Source, Motion, Floats, np.random.Generator], Waveform]] = {
    voice.__name__.removeprefix("_"): voice
    for voice in (_drum, _bell, _guitar, _violin, _bird, _engine, _speaker, _siren, _water, _clock, _trombone, _maraca)
}
