"""gRPC plumbing that both services and the client share. It knows errors, identities and channels, and nothing of prompts or videos."""
