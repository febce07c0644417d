"""Methods against each other on public benchmarks, in one command that resumes."""
