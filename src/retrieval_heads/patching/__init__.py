"""Activation patching: heads of one run put into another whose needle says something else, and what that restores."""
