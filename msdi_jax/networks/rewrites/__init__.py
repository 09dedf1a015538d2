"""Exact rewrites of convolutions, chosen by `networks.convolution`."""
