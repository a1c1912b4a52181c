"""Every claim of speed is a benchmark here, which runs both sides in one call, in turn."""
