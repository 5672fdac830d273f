"""Gates: statistical questions about a canary with three answers. Pure functions of evidence; docs/explanation/gates.md has the formulas."""
