"""mlpcore beside its peers: `python bench/run.py`; see bench/README.md."""
