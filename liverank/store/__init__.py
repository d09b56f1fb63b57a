"""The live store: what users did, durable and readable within a millisecond."""
