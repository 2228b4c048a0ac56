"""Container -> waveform and frames, in a sandboxed ffmpeg child."""
