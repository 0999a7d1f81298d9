"""Reproduction of LENS: learning from groups in which every sampled answer is wrong."""

__version__ = "0.2.0"
