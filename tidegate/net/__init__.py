"""The pipes: HTTP to the upstream, server-sent events, names and addresses. Knows no provider."""
