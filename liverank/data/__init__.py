"""From a source to the contract: readers, the synthetic generator, snapshots."""
