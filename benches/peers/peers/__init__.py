"""One file a peer: each has `run(repeat)`, which gives rows and a note."""
