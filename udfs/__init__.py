"""What runs inside a Spark worker: one class for each model, and a factory that turns them into pandas UDFs."""
