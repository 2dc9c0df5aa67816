"""Jobs for whoever has time."""
