"""Parcel labels."""
