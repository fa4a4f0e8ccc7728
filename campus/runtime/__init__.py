"""What any long-running program needs: its config, its supervisor, its log, its HTTP server."""
