"""Problems: sources, preparation, reports, synthetic problems."""
