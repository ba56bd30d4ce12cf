"""What `phlows doctor` looks at: one small function a check, by group."""
