"""Run plans: jobs, each of which is a command and the jobs that it needs."""
