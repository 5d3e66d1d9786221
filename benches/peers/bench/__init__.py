"""What the peers share: the model's sizes, timing, Monolens' own numbers, the report."""
