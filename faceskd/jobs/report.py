"""The section of a report about the jobs of a plan."""

from collections.abc import Collection

from faceskd.jobs.runner import Outcome
from faceskd.reporting.tables import markdown_table


def jobs_section(outcomes: Collection[Outcome]) -> str:
    """Markdown: the total time, in which jobs files failed, and a row for each job."""
    rows = [
        {
            "job": outcome.job.name,
            "seconds": round(outcome.seconds),
            "peak memory, MiB": round(outcome.peak_memory_mib),
            "command": f"`{outcome.job.line()}`",
        }
        for outcome in outcomes
    ]
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    total = f"{minutes:.1f} minutes in all. Peak memory is that of the process until the job's end."
    in_part = [f"`{outcome.job.name}`" for outcome in outcomes if outcome.in_part]
    told = [f"Some files failed in {', '.join(in_part)}."] if in_part else []
    return "\n\n".join([total, *told, markdown_table(rows)])
