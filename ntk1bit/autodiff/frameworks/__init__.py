"""Networks of other libraries in one form: a function of (parameters, x) in evaluation mode.

A module for each library, imported when a network of it is given; none is imported for the sake of asking.
"""
