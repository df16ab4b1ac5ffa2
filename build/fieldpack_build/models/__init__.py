"""Language models: where they come from, how they are loaded, their chat template."""
