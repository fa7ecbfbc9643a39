"""The parts of a profile: subjects, the machine's ceiling, memory, and how it is shown."""
