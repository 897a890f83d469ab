"""The posterior predictive distribution: missing cells, conditions, forecasts, classes, what columns say of others."""
