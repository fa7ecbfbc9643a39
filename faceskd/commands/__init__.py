"""The entry points of the command line, thin: the work is in the library."""
