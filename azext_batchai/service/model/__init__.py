"""What stored records mean: states, limits, and what they ask of an engine. Knows neither HTTP nor what is running."""
