"""From published snapshots to a trained CLIP."""
