"""Text encoders: one module an encoder, found by the registry."""
