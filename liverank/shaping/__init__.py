"""From scores to the list that is shown: rules, diversity and exploration, each exact or said not to be."""
