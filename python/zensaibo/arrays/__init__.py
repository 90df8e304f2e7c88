"""Pure functions: numpy and scipy in, arrays out. No AnnData."""
