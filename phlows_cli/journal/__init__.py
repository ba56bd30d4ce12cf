"""What must outlive the process: sockets that are owed a close, processes that run."""
