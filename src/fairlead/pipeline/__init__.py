"""Joins the stages: what there is to do, in which order, durably."""
