"""What runs inside a Spark worker: one class a model, and one factory that makes pandas UDFs of them."""
