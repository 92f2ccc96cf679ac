"""The HTTP API: durable jobs, worker processes, the Videos API and khayal's own."""
