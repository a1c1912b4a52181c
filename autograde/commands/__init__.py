"""The commands of `autograde`, by what they are for."""
