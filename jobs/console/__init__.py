"""What the commands share: options, the session, progress, tables on the terminal."""
