"""Check commands of the user's own, run over a finished run: started, bounded in time and output, and cleaned up."""
