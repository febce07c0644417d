"""Text variants: hard negatives, paraphrases and rewrites."""
