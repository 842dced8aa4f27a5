"""D25's experiments with deep networks (section 6, Fig. 1 to 3): data, specifications, measurements."""
