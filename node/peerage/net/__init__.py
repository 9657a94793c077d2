"""TLS, HTTP server and clients."""
