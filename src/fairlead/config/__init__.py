"""What a person wrote: fairlead.yaml, secrets, the environment. The only reader of configuration files and variables."""
