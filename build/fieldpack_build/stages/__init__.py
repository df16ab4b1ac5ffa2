"""One verb a file; each has `run(task) -> result` and is named in the pipeline's table."""
