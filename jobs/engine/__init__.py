"""What all stages are built on: session, tables, streams, policy and views."""
