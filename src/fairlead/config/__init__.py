"""What a person wrote: fairlead.yaml, secrets, variables. The only reader of configuration and environment."""
