"""`python -m liverank.cli`: the command line where the script is not on the path."""

from liverank.cli.main import main

main()
