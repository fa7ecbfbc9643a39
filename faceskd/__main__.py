"""`python -m faceskd`: the same as the command `faceskd`."""

from faceskd.cli import program

if __name__ == "__main__":
    program()
