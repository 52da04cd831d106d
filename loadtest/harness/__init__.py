"""What `loadtest/compare` is made of: processes, contenders, scenarios, figures, plots."""
