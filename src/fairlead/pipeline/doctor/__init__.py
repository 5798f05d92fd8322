"""What a deployment repository needs, looked at: tools, credentials, endpoints, machines. Changes nothing."""
