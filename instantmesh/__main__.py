"""`python -m instantmesh`."""

from instantmesh.cli import main

main()
