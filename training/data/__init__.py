"""Reading snapshots: families, samples, batches."""
