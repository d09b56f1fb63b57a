"""The search for better training settings, judged by forward chaining over time."""
