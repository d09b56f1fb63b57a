"""Evaluation protocols on any data set in the contract's form: data in, rows of figures with intervals out."""
