"""Tables: a frame of Polars is read, typed and written."""
