"""One module per section of the report, each with its `SECTION`."""
