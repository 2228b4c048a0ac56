"""Where it runs: Ray and machines. No audio and no video is known here."""
