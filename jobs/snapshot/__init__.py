"""The contract of a training snapshot: what publish writes and training reads."""
