"""What the paper shows: configuration, sweeps, figures, captions and claims."""
