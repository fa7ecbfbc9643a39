"""Plans of jobs: commands, the jobs that each needs, and what of them is done."""
