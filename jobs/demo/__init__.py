"""The two demos: drawn scenes, and photographs from installed packages."""
