"""What socbot costs, beside a hand-written floor and beside other frameworks: ``python -m bench``."""
