"""Pretrained networks on photographs: backbones, heads, preprocessing, and the table of a network."""
