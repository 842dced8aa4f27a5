"""`python -m figures` of version 0.1.0: one line that says where it is."""

import sys

if __name__ == "__main__":
    print("figures: write ntk1bit plot results/standard, in place of python -m figures", file=sys.stderr)
    sys.exit(2)
