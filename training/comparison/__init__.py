"""Comparison of methods on public benchmarks, in one command that can be resumed."""
