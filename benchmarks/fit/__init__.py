"""Programs that make the data that ships with the package."""
