"""Analysis and transfer of the degradation representation."""
