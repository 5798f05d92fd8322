"""The deployment repository: pins, bumps, proofs and quarantine, kept in git. Only this package writes git."""
