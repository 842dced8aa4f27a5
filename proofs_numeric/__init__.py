"""Each claim as a short paper section that runs: statement, derivation, experiment, verdict.

`catalogue` lists the modules, `studies` the experiments they share, `verification` runs what a claim needs and judges
it, `page` writes paper_repro.md from the stored results.
"""
