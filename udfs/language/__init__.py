"""Language models: one interface, one file a way to run them, and the prompts of every task."""
