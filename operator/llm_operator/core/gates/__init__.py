"""Gates: statistical questions about a canary with three answers (docs/explanation/gates.md has the formulas)."""
