"""Every picture of a trained model: what is computed for it; `figures` draws arrays, and knows no model."""
