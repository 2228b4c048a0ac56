"""Container -> waveform and frames, and mp4s, by ffmpeg in a sandboxed child process."""
