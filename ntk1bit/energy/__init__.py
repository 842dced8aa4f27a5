"""Energy and memory of networks, by counting operations and stored numbers, and the published figures."""
