"""From a configuration and data to a model that begins at a closed form."""
